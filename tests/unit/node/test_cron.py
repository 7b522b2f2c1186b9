"""Tests for littoral.node.cron: triggers in virtual time, on a store whose power can be cut."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
import pytest

from littoral.core.errors import FunctionFailed, TimedOut
from littoral.core.limits import Limits
from littoral.core.resources.app import AppSpec
from littoral.core.resources.app_events import CronTrigger
from littoral.functions.apps import PlacedApp
from littoral.functions.event_messages import Scheduled
from littoral.functions.messages import Answer, EventKind
from littoral.node.cron import CronDesk
from littoral.node.cron_plan import Missed
from littoral.testing.loop import run
from littoral.testing.store import SimStore

BEGIN = "22:13:20"
"""When simulations begin."""


class Node:
    """A store, and the app `shop` that writes down when it is called."""

    def __init__(self, *crons: str | CronTrigger, **limits: int) -> None:
        self.sim = SimStore(cron_jitter_ms=0, **limits)
        self.faults: list[BaseException] = []
        self.runs: list[str] = []
        self.act: Callable[[], Awaitable[None]] | None = None
        self.place(*crons)

    def place(self, *crons: str | CronTrigger) -> None:
        self.apps = [PlacedApp.from_spec("shop", "1", "/nowhere", AppSpec(main="a.py", crons=list(crons)), Limits())]

    def start(self) -> CronDesk:
        self.desk = CronDesk(
            self.sim.running(),
            self.sim.clock,
            self.sim.random.fork("cron"),
            self.sim.limits,
            self.call,
            self.faults.append,
        )
        self.desk.apply(self.apps, {"shop"})
        return self.desk

    async def call(self, app: str, kind: EventKind, subject: str, body: bytes) -> Answer:
        said = msgspec.msgpack.decode(body, type=Scheduled)
        assert (app, kind, subject) == ("shop", "scheduled", said.cron)
        due = datetime.fromtimestamp(said.scheduled_ms / 1000, tz=UTC)
        self.runs.append(f"{due:%H:%M}")
        if self.act is not None:
            await self.act()
        return Answer(1, 200)

    async def restart(self, away_s: float, *, crash: bool = False) -> None:
        if crash:
            self.sim.cut_power()
            await self.desk.stop()
        else:
            await self.desk.stop()
            await self.sim.close()
        await asyncio.sleep(away_s)
        self.start()

    async def end(self) -> None:
        await self.desk.stop()
        await self.sim.close()
        assert not self.faults


def minutes(count: float) -> float:
    return 60.0 * count


def test_triggers_run_when_they_are_due() -> None:
    async def scenario() -> None:
        node = Node("*/10 * * * *", "17 22 * * *")
        desk = node.start()
        await asyncio.sleep(minutes(30))
        assert node.runs == ["22:17", "22:20", "22:30", "22:40"]
        status = desk.statuses()[0]
        assert (status.app, status.cron, status.outcome, status.done, status.failed) == (
            "shop",
            "*/10 * * * *",
            "done",
            3,
            0,
        )
        assert status.next_ms == node.sim.clock.wall_ms() + 400_000
        await node.end()

    run(scenario)


def test_runs_are_spread_within_the_jitter_and_never_before_they_are_due() -> None:
    async def scenario() -> None:
        node = Node("* * * * *")
        node.sim.limits = Limits({"cron-jitter-ms": 30_000})
        began: list[int] = []

        async def note() -> None:
            began.append(node.sim.clock.wall_ms() % 60_000)

        node.act = note
        node.start()
        await asyncio.sleep(minutes(5))
        assert len(began) == 5 or len(began) == 4
        assert all(0 < each < 31_000 for each in began)
        await node.end()

    run(scenario)


@pytest.mark.parametrize(
    ("missed", "runs"),
    [("skip", []), ("once", ["23:00"]), ("all-bounded", ["22:30", "22:40", "22:50", "23:00"])],
)
@pytest.mark.parametrize("crash", [False, True])
def test_what_a_stop_missed_follows_the_policy_exactly_once(missed: Missed, runs: list[str], crash: bool) -> None:
    async def scenario() -> None:
        node = Node(CronTrigger(cron="*/10 * * * *", missed=missed))
        node.start()
        await asyncio.sleep(minutes(8))
        assert node.runs == ["22:20"]
        node.runs.clear()
        await node.restart(minutes(42), crash=crash)
        await asyncio.sleep(minutes(2))
        assert node.runs == runs
        await node.restart(minutes(1), crash=crash)
        await asyncio.sleep(minutes(7.5))
        assert node.runs == [*runs, "23:10"]
        await node.end()

    run(scenario)


def test_no_more_is_made_up_for_than_the_limit_says() -> None:
    async def scenario() -> None:
        node = Node(CronTrigger(cron="* * * * *", missed="all-bounded"), cron_missed_runs=3)
        node.start()
        await asyncio.sleep(1)
        await node.restart(minutes(60 * 24 * 30 - 1))
        await asyncio.sleep(1)
        assert len(node.runs) == 3
        await node.end()

    run(scenario, limit_s=60.0 * 60 * 24 * 31)


@pytest.mark.parametrize("crash", [False, True])
def test_nothing_runs_twice_within_a_minute_after_a_restart(crash: bool) -> None:
    async def scenario() -> None:
        node = Node("* * * * *")
        node.start()
        await asyncio.sleep(41)
        assert node.runs == ["22:14"]
        for _ in range(3):
            await node.restart(3, crash=crash)
            await asyncio.sleep(3)
        assert node.runs == ["22:14"]
        await node.end()

    run(scenario)


def test_a_run_that_a_crash_cuts_off_is_reported_and_not_made_again() -> None:
    async def scenario() -> None:
        node = Node(CronTrigger(cron="0 * * * *", missed="once"))
        node.act = lambda: asyncio.sleep(600)
        node.start()
        await asyncio.sleep(minutes(48))
        await node.restart(minutes(1), crash=True)
        await asyncio.sleep(minutes(20))
        assert node.runs == ["23:00"]
        (status,) = node.desk.statuses()
        assert (status.outcome, status.failed, status.ended_ms) == ("interrupted", 1, None)
        await node.end()

    run(scenario)


def test_a_run_that_fails_is_counted_and_not_made_again() -> None:
    async def scenario() -> None:
        node = Node("0 * * * *")

        async def fail() -> None:
            raise FunctionFailed("call app", "shop", "its code raised an exception")

        node.act = fail
        desk = node.start()
        await asyncio.sleep(minutes(50))
        assert node.runs == ["23:00"]
        (status,) = desk.statuses()
        assert (status.outcome, status.done, status.failed) == ("failed", 0, 1)
        assert "its code raised an exception" in status.error
        await node.end()

    run(scenario)


def test_what_is_due_while_a_run_is_under_way_does_not_run_beside_it() -> None:
    async def scenario() -> None:
        node = Node("* * * * *")
        node.act = lambda: asyncio.sleep(150)
        node.start()
        await asyncio.sleep(minutes(6))
        assert node.runs == ["22:14", "22:16", "22:19"]
        await node.end()

    run(scenario)


def test_clocks_that_jump_back_and_forth_repeat_nothing() -> None:
    async def scenario() -> None:
        node = Node("*/10 * * * *")
        node.start()
        await asyncio.sleep(minutes(8))
        node.sim.clock.step(-5 * 60_000)
        await asyncio.sleep(minutes(10))
        assert node.runs == ["22:20"]
        await asyncio.sleep(minutes(4))
        assert node.runs == ["22:20", "22:30"]
        node.sim.clock.step(65 * 60_000)
        await asyncio.sleep(minutes(2))
        assert node.runs == ["22:20", "22:30"]
        await asyncio.sleep(minutes(10))
        assert node.runs == ["22:20", "22:30", "23:40"]
        await node.end()

    run(scenario)


def test_a_clock_that_was_a_year_ahead_does_not_silence_a_trigger() -> None:
    async def scenario() -> None:
        node = Node("*/10 * * * *")
        node.sim.clock.step(365 * 86_400_000)
        node.start()
        await asyncio.sleep(minutes(8))
        node.sim.clock.step(-365 * 86_400_000)
        await asyncio.sleep(minutes(10))
        assert node.runs == ["22:20", "22:30"]
        await node.end()

    run(scenario)


def test_a_trigger_that_was_taken_away_begins_anew_when_it_comes_back() -> None:
    async def scenario() -> None:
        node = Node(CronTrigger(cron="*/10 * * * *", missed="once"))
        desk = node.start()
        await asyncio.sleep(minutes(8))
        desk.apply([], set())
        await asyncio.sleep(minutes(30))
        desk.apply(node.apps, {"shop"})
        await asyncio.sleep(minutes(1))
        assert node.runs == ["22:20"]
        assert desk.statuses()[0].done == 0
        # Not where only its code is not there yet.
        desk.apply([], {"shop"})
        await asyncio.sleep(minutes(10))
        desk.apply(node.apps, {"shop"})
        await asyncio.sleep(minutes(1))
        assert node.runs == ["22:20", "23:00"]
        await node.end()

    run(scenario)


def test_as_many_run_at_once_as_the_limit_says() -> None:
    async def scenario() -> None:
        node = Node("* * * * *", "*/1 * * * *", "0-59 * * * *", cron_runs=2)
        running: list[int] = [0, 0]

        async def work() -> None:
            running[0] += 1
            running[1] = max(running)
            await asyncio.sleep(5)
            running[0] -= 1

        node.act = work
        node.start()
        await asyncio.sleep(59)
        assert (len(node.runs), running[1]) == (3, 2)
        await node.end()

    run(scenario)


def test_a_time_out_is_a_failure_like_any_other() -> None:
    async def scenario() -> None:
        node = Node("* * * * *")

        async def fail() -> None:
            raise TimedOut("call app", "shop", "it did not answer")

        node.act = fail
        desk = node.start()
        await asyncio.sleep(minutes(2))
        assert desk.statuses()[0].failed == 2
        await node.end()

    run(scenario)
