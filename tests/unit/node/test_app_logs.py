"""What workers wrote lately."""

import asyncio
from collections.abc import Awaitable, Callable

from littoral.core.limits import Limits
from littoral.node.app_logs import LINE_COST_BYTES, AppLogs
from littoral.testing.clock import SimClock
from littoral.testing.loop import run


def play(story: Callable[[AppLogs], Awaitable[None]], **limits: int) -> None:
    async def main() -> None:
        bounds = Limits({name.replace("_", "-"): value for name, value in limits.items()})
        await story(AppLogs(SimClock(asyncio.get_running_loop()), bounds))

    run(main)


async def texts(logs: AppLogs, app: str = "shop", after: int | None = 0) -> list[str]:
    return [line.text for line in (await logs.page(app, after, 100, 0)).lines]


def test_lines_are_kept_with_the_request_that_they_are_about():
    async def story(logs: AppLogs) -> None:
        logs.note("shop", 1, "plain\n[a1-7] of a request\n[not an id] text")
        lines = (await logs.page("shop", None, 100, 0)).lines
        assert [(line.worker, line.request_id, line.text) for line in lines] == [
            (1, "", "plain"),
            (1, "a1-7", "of a request"),
            (1, "", "[not an id] text"),
        ]

    play(story)


def test_each_line_is_given_once_to_who_goes_on_where_they_were():
    async def story(logs: AppLogs) -> None:
        logs.note("shop", 0, "1\n2")
        page = await logs.page("shop", None, 1, 0)
        assert [line.text for line in page.lines] == ["2"]
        logs.note("other", 0, "x")
        logs.note("shop", 0, "3")
        page = await logs.page("shop", page.next, 1, 0)
        assert [line.text for line in page.lines] == ["3"]
        assert (await logs.page("shop", page.next, 1, 0)).lines == []

    play(story)


def test_who_waits_gets_a_line_when_it_comes_and_nothing_after_the_time():
    async def story(logs: AppLogs) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(5, logs.note, "shop", 0, "at last")
        page = await logs.page("shop", 0, 100, 20)
        assert ([line.text for line in page.lines], loop.time()) == (["at last"], 5)
        assert (await logs.page("shop", page.next, 100, 20)).lines == []
        assert loop.time() == 25

    play(story)


def test_an_app_keeps_its_last_lines_and_says_how_many_it_lost():
    async def story(logs: AppLogs) -> None:
        for number in range(10):
            logs.note("shop", 0, f"{number}")
        assert await texts(logs) == ["7", "8", "9"]
        assert (await logs.page("shop", 0, 100, 0)).left_out == 7

    play(story, app_log_bytes=3 * (LINE_COST_BYTES + 1))


def test_a_flood_of_one_app_takes_no_room_from_the_others():
    async def story(logs: AppLogs) -> None:
        logs.note("quiet", 0, "said once")
        for number in range(100):
            logs.note("loud", 0, f"{number}")
        assert await texts(logs, "quiet") == ["said once"]
        assert len(await texts(logs, "loud")) < 10

    play(story, app_logs_bytes=10 * LINE_COST_BYTES)
