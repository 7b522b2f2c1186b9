"""The way to the parent: when it is open, and how long is waited on it. In virtual time."""

import asyncio
from collections.abc import Callable

import pytest

from littoral.core.gateway_limits import RELAY_CONNECT_MS, RELAY_QUIET_MS, RELAY_REQUESTS
from littoral.core.limits import Limits
from littoral.gateway.field_block import Fields
from littoral.gateway.origins.transport import Endpoint, OriginAnswer, OriginRequest, OriginTimeouts
from littoral.gateway.shield_parent import ParentWay, ShieldParent
from littoral.testing.loop import run
from littoral.wire.relay import PROCESSING, WORKING
from tests.support.exchanges import MemoryAnswer, failure
from tests.support.tiers import MemoryWay

GET = OriginRequest("GET", "/", (("host", "edge.test"),))
PARENT = ShieldParent("region", Endpoint("https", "region.test", 443))
FIRST_S = (RELAY_CONNECT_MS.default + RELAY_QUIET_MS.default) / 1000


class LoopClock:
    """By the loop's time."""

    def wall_ms(self) -> int:
        return int(self.monotonic_s() * 1000)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()


class SlowWay(MemoryWay):
    """Answers after a while; until then it says at these moments that it is at it."""

    def __init__(self, after_s: float, *words_s: float) -> None:
        super().__init__()
        self.after_s = after_s
        self.words_s = words_s

    async def send(
        self,
        endpoint: Endpoint,
        request: OriginRequest,
        timeouts: OriginTimeouts,
        inform: Callable[[int, Fields], None] | None = None,
        begun: OriginAnswer | None = None,
    ) -> OriginAnswer:
        self.asked.append(request)
        assert inform is not None
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for word_s in self.words_s:
            await asyncio.sleep(began_s + word_s - loop.time())
            inform(PROCESSING, WORKING)
        await asyncio.sleep(began_s + self.after_s - loop.time())
        return MemoryAnswer()


def way(transport: MemoryWay, **limits: int) -> ParentWay:
    return ParentWay(PARENT, transport, LoopClock(), Limits({key.replace("_", "-"): at for key, at in limits.items()}))


@pytest.mark.parametrize(
    ("after_s", "words_s", "comes"),
    [
        (FIRST_S - 0.1, (), True),
        (FIRST_S - 0.1, (0.5,), True),
        (FIRST_S + 1, (), False),
        (60.0, (1, 3, 7, 15, 31), True),
        (60.0, (1, 3, 7), False),
    ],
    ids=["in time", "has said so early", "says nothing", "says that it is at it", "says nothing any more"],
)
def test_who_says_nothing_is_not_waited_for(after_s: float, words_s: tuple[float, ...], comes: bool) -> None:
    async def main() -> None:
        told: list[int] = []
        parent = way(SlowWay(after_s, *words_s))
        answer = await parent.ask(GET, lambda status, _: told.append(status))
        assert isinstance(answer, MemoryAnswer) is comes
        assert answer == "unreachable" or comes
        assert not told, "what the parent says of itself is not for clients"
        assert parent.inflight == 0

    run(main)


def test_a_word_that_comes_just_too_late_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    class Late(MemoryWay):
        """Says that it is at it in the very moment in which nobody waits any more."""

        async def send(
            self,
            endpoint: Endpoint,
            request: OriginRequest,
            timeouts: OriginTimeouts,
            inform: Callable[[int, Fields], None] | None = None,
            begun: OriginAnswer | None = None,
        ) -> OriginAnswer:
            assert inform is not None
            asyncio.get_running_loop().call_later(FIRST_S, inform, PROCESSING, WORKING)
            await asyncio.sleep(2 * FIRST_S)
            return MemoryAnswer()

    async def main() -> None:
        assert await way(Late()).ask(GET, None) == "unreachable"

    run(main)
    assert not caplog.records, "it would end the connection"


def test_what_an_origin_says_before_its_answer_is_for_clients() -> None:
    class Hinting(MemoryWay):
        """As an origin does that has hints."""

        async def send(
            self,
            endpoint: Endpoint,
            request: OriginRequest,
            timeouts: OriginTimeouts,
            inform: Callable[[int, Fields], None] | None = None,
            begun: OriginAnswer | None = None,
        ) -> OriginAnswer:
            assert inform is not None
            for status in (PROCESSING, 103):
                inform(status, [("link", "</a>")])
            return MemoryAnswer()

    async def main() -> None:
        told: list[int] = []
        await way(Hinting()).ask(GET, lambda status, _: told.append(status))
        assert told == [PROCESSING, 103]

    run(main)


def test_a_parent_that_fails_is_left_alone_and_tried_again_by_one() -> None:
    async def main() -> None:
        transport = MemoryWay()
        parent = way(transport)
        transport.failure = failure()
        answers = [await parent.ask(GET, None) for _ in range(10)]
        assert (set(answers), len(transport.asked)) == ({"unreachable"}, 2)
        for wait_s in (1.0, 2.0, 4.0, 8.0, 10.0, 10.0):
            await asyncio.sleep(wait_s - 0.1)
            await parent.ask(GET, None)
            before = len(transport.asked)
            await asyncio.sleep(0.2)
            await asyncio.gather(*(parent.ask(GET, None) for _ in range(8)))
            assert len(transport.asked) == before + 1
        transport.failure, transport.answer = None, MemoryAnswer()
        await asyncio.sleep(10)
        for _ in range(2):
            assert await parent.ask(GET, None) is transport.answer

    run(main)


def test_no_more_are_under_way_than_may_be_and_a_body_counts_until_its_end() -> None:
    async def main() -> None:
        transport = MemoryWay()
        transport.answer = MemoryAnswer(whole=None, pieces=(b"a", b"b"))
        parent = way(transport, relay_requests=1)
        answer = await parent.ask(GET, None)
        assert not isinstance(answer, str)
        assert await parent.ask(GET, None) == "busy"
        assert parent.limits.reached[RELAY_REQUESTS.name] == 1
        while await answer.read():
            assert parent.inflight == 1
        assert parent.inflight == 0
        assert await parent.ask(GET, None) != "busy"

    run(main)


def test_a_client_that_goes_is_no_failure_of_the_parents() -> None:
    async def main() -> None:
        transport = SlowWay(FIRST_S - 0.1)
        parent = way(transport)
        for _ in range(5):
            asking = asyncio.ensure_future(parent.ask(GET, None))
            await asyncio.sleep(0.1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        assert (parent.inflight, len(transport.asked)) == (0, 5)
        assert isinstance(await parent.ask(GET, None), MemoryAnswer)

    run(main)
