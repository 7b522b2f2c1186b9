import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import msgspec
import pytest

from littoral.core.errors import Conflict
from littoral.core.resources.part import RouteMatch
from littoral.core.tasks import Tasks
from littoral.functions.calls.client import FunctionTarget
from littoral.gateway.cache.memory import MemoryTier
from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import EVERYTHING, Purge
from littoral.gateway.meters import Meters
from littoral.gateway.routes import Route
from littoral.gateway.tracing import TraceAsk, TraceReport
from littoral.node.cache_orders import CacheOrders
from littoral.node.control_client import SHOWN_BYTES, ControlClient
from littoral.node.control_messages import SOCKET, GatewayReport, Purged, PurgesKnown, Top
from littoral.node.control_server import UNANSWERED_MOST, ControlServer
from littoral.node.gateway_config import FILE, GatewayConfig, app_routes, read_config, write_config
from littoral.node.purge_messages import CachedObject, Told
from littoral.wire.frames import frame
from tests.support.fakes import FakeClock


def made(ask: TraceAsk) -> TraceReport:
    return TraceReport(0, "g-1", "route/all", 200, 5, 1.5, 1.0, "hit", "", "", 0, ask.target, [])


async def no_trace(ask: TraceAsk) -> TraceReport:
    raise AssertionError(ask)


def test_reports_and_orders_go_up_and_changes_come_down_across_a_restart_of_the_hub() -> None:
    async def scenario(run_dir: Path) -> None:
        configs = [GatewayConfig([Route("one")])]
        killed: list[tuple[str, int]] = []
        reports: list[GatewayReport] = []
        changes: list[GatewayConfig | None] = []
        faults: list[BaseException] = []
        heard = asyncio.Event()

        def changed() -> None:
            changes.append(read_config(run_dir))
            heard.set()

        def hub() -> ControlServer:
            return ControlServer(
                run_dir,
                lambda *order: killed.append(order),
                reports.append,
                lambda: configs[-1],
                lambda known: Told([], Position("", 0)),
            )

        async def until(count: int) -> None:
            async with asyncio.timeout(10):
                while len(changes) < count or not server.gateways:
                    heard.clear()
                    await heard.wait()

        meters = Meters()
        meters.observe("one", 200, 0.001, 5)
        tasks = Tasks(faults.append)
        orders = CacheOrders(MemoryTier(1 << 20), FakeClock())
        gateway = ControlClient(run_dir, lambda: GatewayReport(3, 77, meters), changed, orders, tasks, trace=no_trace)
        gateway.kill_worker("nobody", 1)
        await gateway.start()
        server = hub()
        await server.start()
        await until(1)
        configs.append(GatewayConfig([Route("two")], [FunctionTarget("two", ["/s"], 5)], {"streams": 1}))
        server.publish()
        await until(2)
        configs.append(GatewayConfig([Route("two"), Route("three")]))
        with pytest.raises(Conflict):
            server.publish()
        configs.pop()
        await server.stop()
        server = hub()
        await server.start()
        await until(3)
        assert changes == [configs[0], configs[1], configs[1]]
        gateway.kill_worker("one", 99)
        async with asyncio.timeout(10):
            while not (killed and reports):
                await asyncio.sleep(0)
        assert killed == [("one", 99)]
        assert (reports[-1].index, reports[-1].pid, reports[-1].meters) == (3, 77, meters)
        await tasks.stop()
        await server.stop()
        assert not faults

    with tempfile.TemporaryDirectory(prefix="lit") as directory:
        asyncio.run(scenario(Path(directory)))


def test_a_configuration_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_config(tmp_path) is None
    (tmp_path / FILE).write_bytes(b"\xc1")
    assert read_config(tmp_path) is None
    config = GatewayConfig(app_routes("shop", [RouteMatch(path="/a", methods=["GET"])]))
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config
    assert config.routes == [Route("app/shop", "/a", None, ["GET"])]


class Gateway:
    """A gateway's end of the control socket, with a cache that only counts."""

    def __init__(self, run_dir: Path, index: int, tasks: Tasks) -> None:
        self.purged: list[str] = []
        self.known: Position | None = None
        self.looking = 0
        meters = Meters()
        report = GatewayReport(index, index, meters)
        self.told: list[str] = []
        """As a neighbour."""
        self.finish: asyncio.Future[None] | None = None
        """If there is one, purges are not done before it is."""
        self._client = ControlClient(run_dir, lambda: report, lambda: None, self, tasks, self, trace=self.trace)

    async def start(self) -> Self:
        await self._client.start()
        return self

    async def trace(self, ask: TraceAsk) -> TraceReport:
        return made(ask)

    def ordered(self, told: Told) -> None:
        self.told += [f"ordered {purge.value}" for purge in told.purges]

    def done(self, until: Position) -> None:
        self.told.append(f"done {until.next}")

    def purge(self, purges: Sequence[Purge], until: Position) -> list[int] | Awaitable[list[int]]:
        counts = self._purged(purges, until)
        return counts if self.finish is None else self._finished(counts)

    async def _finished(self, counts: list[int]) -> list[int]:
        assert self.finish is not None
        await self.finish
        return counts

    def _purged(self, purges: Sequence[Purge], until: Position) -> list[int]:
        self.known = until
        counts = []
        for purge in purges:
            self.purged.append(purge.value or purge.kind)
            counts.append(len(self.purged))
        return counts

    def inspect(self, url: str) -> list[CachedObject]:
        tags = ["x" * 8000]
        return [CachedObject(f"{url}{number}", [], {}, 200, 1, 60, 5, 0, tags) for number in range(1000)]

    async def top(self, count: int) -> list[CachedObject]:
        self.looking += 1
        while self.looking and count > 1:
            await asyncio.sleep(0)
        return self.inspect("http://edge.test/")[:count]


class Log:
    """The purges of a node, in memory."""

    def __init__(self) -> None:
        self.purges: list[Purge] = []
        self.asked: list[Position | None] = []

    def add(self, *values: str) -> Told:
        new = [Purge("tag", value) for value in values]
        self.purges += new
        return Told(new, Position("log", len(self.purges)))

    def since(self, known: Position | None) -> Told:
        self.asked.append(known)
        purges = [EVERYTHING] if known is None else self.purges[known.next :]
        return Told(purges, Position("log", len(self.purges)))


def play_purges(story: Callable[[Path, Log, Tasks, Callable[[], ControlServer]], Awaitable[None]]) -> None:
    async def main(run_dir: Path) -> None:
        faults: list[BaseException] = []
        tasks, log = Tasks(faults.append), Log()
        server = partial(ControlServer, run_dir, lambda *_: None, lambda _: None, GatewayConfig, log.since)
        async with asyncio.timeout(20):
            await story(run_dir, log, tasks, server)
        await tasks.stop()
        assert not faults

    with tempfile.TemporaryDirectory(prefix="lit") as directory:
        asyncio.run(main(Path(directory)))


async def connected(server: ControlServer, count: int) -> None:
    while server.gateways < count:
        await asyncio.sleep(0)


def test_all_gateways_are_told_of_a_purge_and_say_what_came_of_it() -> None:
    async def story(run_dir: Path, log: Log, tasks: Tasks, hub: Callable[[], ControlServer]) -> None:
        server = hub()
        await server.start()
        gateways = [await Gateway(run_dir, index, tasks).start() for index in range(2)]
        await connected(server, 2)
        replies = server.purge(log.add("a", "b"))
        shown = server.inspect("http://edge.test/")
        await asyncio.gather(replies.wait(10), shown.wait(10))
        # Each was told to purge everything when it connected.
        assert (replies.said, replies.missing) == ([[2, 3], [2, 3]], 0)
        assert [gateway.purged for gateway in gateways] == [["all", "a", "b"]] * 2
        assert [len(objects) for objects in shown.said] == [SHOWN_BYTES // 8100] * 2, "as many as go into a frame"
        await server.stop()

    play_purges(story)


def test_who_looks_for_what_was_given_most_often_holds_up_no_other_order() -> None:
    async def story(run_dir: Path, log: Log, tasks: Tasks, hub: Callable[[], ControlServer]) -> None:
        server = hub()
        await server.start()
        gateway = await Gateway(run_dir, 0, tasks).start()
        await connected(server, 1)
        long = server.top(2)
        while not gateway.looking:
            await asyncio.sleep(0)
        short, replies = server.top(1), server.purge(log.add("a"))
        await asyncio.gather(short.wait(10), replies.wait(10))
        assert (len(short.said[0]), replies.missing, long.missing) == (1, 0, 1)
        gateway.looking = 0
        await long.wait(10)
        assert [len(objects) for objects in long.said] == [2]
        gateway.looking = 1
        unanswered = server.top(2)
        await server.stop()
        await unanswered.wait(10)
        assert (unanswered.said, unanswered.missing) == ([], 0)
        gateway.looking = 0

    play_purges(story)


def test_a_gateway_that_connects_again_says_what_it_knows_and_is_told_the_rest_first() -> None:
    async def story(run_dir: Path, log: Log, tasks: Tasks, hub: Callable[[], ControlServer]) -> None:
        server = hub()
        await server.start()
        gateway = await Gateway(run_dir, 0, tasks).start()
        await connected(server, 1)
        await server.purge(log.add("a")).wait(10)
        await server.stop()
        log.add("b", "c")
        server = hub()
        await server.start()
        await connected(server, 1)
        await server.purge(log.add("d")).wait(10)
        assert log.asked == [None, Position("log", 1)]
        assert gateway.purged == ["all", "a", "b", "c", "d"]
        await server.stop()

    play_purges(story)


def test_neighbours_hear_of_purges_before_they_are_done_and_once_they_are() -> None:
    async def story(run_dir: Path, log: Log, tasks: Tasks, hub: Callable[[], ControlServer]) -> None:
        server = hub()
        await server.start()
        gateway = await Gateway(run_dir, 0, tasks).start()
        await connected(server, 1)
        gateway.finish = asyncio.get_running_loop().create_future()
        gateway.told.clear()
        replies = server.purge(log.add("a"))
        while not gateway.told:
            await asyncio.sleep(0)
        assert (gateway.told, gateway.purged[-1:]) == (["ordered a"], ["a"])
        gateway.finish.set_result(None)
        await replies.wait(10)
        assert gateway.told == ["ordered a", "done 1"]
        await server.stop()

    play_purges(story)


def test_one_gateway_makes_a_request_and_says_what_became_of_it() -> None:
    ask = TraceAsk("GET", "http", "edge.test", "/a", [("accept", "x")])

    async def story(run_dir: Path, log: Log, tasks: Tasks, hub: Callable[[], ControlServer]) -> None:
        server = hub()
        await server.start()
        nobody = server.trace(ask)
        await nobody.wait(10)
        assert nobody.said == []
        for index in range(2):
            await Gateway(run_dir, index, tasks).start()
        await connected(server, 2)
        replies = server.trace(ask)
        await replies.wait(10)
        assert replies.said == [made(ask)]
        await server.stop()

    play_purges(story)


def test_one_that_is_gone_is_not_waited_for_and_one_that_hangs_is_let_go_of() -> None:
    async def story(run_dir: Path, log: Log, tasks: Tasks, hub: Callable[[], ControlServer]) -> None:
        server = hub()
        await server.start()
        _, writer = await asyncio.open_unix_connection(run_dir / SOCKET)
        writer.write(frame(msgspec.msgpack.encode(PurgesKnown(None))))
        await connected(server, 1)
        replies = [server.purge(log.add("a")) for _ in range(UNANSWERED_MOST)]
        await asyncio.gather(*(each.wait(10) for each in replies))
        assert (replies[0].said, replies[0].missing, replies[-1].missing, server.gateways) == ([], 0, 0, 0)
        writer.close()
        await server.stop()

    play_purges(story)


@pytest.mark.parametrize("answer", [Purged([1]), Top(1, [])], ids=["in order", "apart"])
def test_an_answer_to_nothing_ends_the_connection(answer: object) -> None:
    async def story(run_dir: Path, log: Log, tasks: Tasks, hub: Callable[[], ControlServer]) -> None:
        server = hub()
        await server.start()
        reader, writer = await asyncio.open_unix_connection(run_dir / SOCKET)
        writer.write(frame(msgspec.msgpack.encode(answer)))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        await server.stop()

    play_purges(story)


def test_a_gateway_that_starts_waits_for_the_newest_configuration_but_not_for_a_hub_that_is_away() -> None:
    async def scenario(run_dir: Path) -> None:
        faults: list[BaseException] = []
        tasks = Tasks(faults.append)
        loaded: list[GatewayConfig | None] = []
        orders = CacheOrders(MemoryTier(1 << 20), FakeClock())

        def gateway() -> ControlClient:
            def load() -> None:
                loaded.append(read_config(run_dir))

            return ControlClient(run_dir, lambda: GatewayReport(0, 1, Meters()), load, orders, tasks, trace=no_trace)

        await gateway().start()
        assert loaded == []
        config = GatewayConfig([Route("one")])
        server = ControlServer(
            run_dir, lambda *_: None, lambda _: None, lambda: config, lambda _: Told([], Position("", 0))
        )
        await server.start()
        await gateway().start()
        assert loaded[-1] == config
        await tasks.stop()
        await server.stop()
        assert not faults

    with tempfile.TemporaryDirectory(prefix="lit") as directory:
        asyncio.run(scenario(Path(directory)))


class Workers:
    """What starts workers, at the hub."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.there: list[tuple[str, list[int], bool]] = [("early", [0], False)]
        self.lines: list[tuple[str, int, str]] = []

    def want(self, app: str, in_flight: int) -> None:
        self.told.append((app, in_flight))

    def load(self, gateway: int, in_flight: Mapping[str, int]) -> None:
        self.told.append((gateway, dict(in_flight)))

    def inline(self, app: str, gateway: int) -> tuple[str, bytes] | None:
        return ("r1", b"%d" % gateway) if app == "trusted" else None

    def inline_lines(self, app: str, gateway: int, text: str) -> None:
        self.lines.append((app, gateway, text))

    def reachable(self) -> list[tuple[str, list[int], bool]]:
        return self.there


class Functions:
    """What calls workers, at a gateway."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, list[int], bool]] = []
        self.anew = 0
        self.given: list[tuple[str, str, bytes]] = []

    def workers(self, app: str, slots: list[int], failing: bool) -> None:
        self.heard.append((app, slots, failing))

    def loads(self) -> dict[str, int]:
        return {"shop": 7}

    def inline_given(self, app: str, revision: str, spec: bytes) -> None:
        self.given.append((app, revision, spec))

    def tell_anew(self) -> None:
        self.anew += 1


def test_gateways_ask_for_workers_and_are_told_where_they_are_without_a_configuration() -> None:
    async def scenario(run_dir: Path) -> None:
        faults: list[BaseException] = []
        tasks, functions, workers, log = Tasks(faults.append), Functions(), Workers(), Log()
        orders = CacheOrders(MemoryTier(1 << 20), FakeClock())
        loads: list[None] = []
        server = ControlServer(run_dir, lambda *_: None, lambda _: None, GatewayConfig, log.since, workers)
        await server.start()
        report = GatewayReport(3, 1, Meters())
        client = ControlClient(run_dir, lambda: report, lambda: loads.append(None), orders, tasks, trace=no_trace)
        client.functions = functions
        await client.start()
        client.want_worker("shop", 2)
        async with asyncio.timeout(20):
            while len(workers.told) < 2:
                await asyncio.sleep(0)
            assert sorted(workers.told, key=str) == [("shop", 2), (3, {"shop": 7})]
            assert functions.heard == [("early", [0], False)], "who connects is told what there is"
            assert functions.anew == 1, "a hub that was connected to knows nothing of what was counted"
            configurations = len(loads)
            server.tell_workers("shop", [0, 2], False)
            while len(functions.heard) < 2:
                await asyncio.sleep(0)
            client.say_lines(3, "trusted", "hello")
            client.want_inline(3, "other")
            client.want_inline(3, "trusted")
            while not functions.given:
                await asyncio.sleep(0)
        assert functions.given == [("trusted", "r1", b"3")], "nobody is told of an app that is not for gateways to run"
        assert workers.lines == [("trusted", 3, "hello")]
        assert functions.heard[1:] == [("shop", [0, 2], False)]
        assert len(loads) == configurations
        await tasks.stop()
        await server.stop()
        assert not faults

    with tempfile.TemporaryDirectory(prefix="lit") as directory:
        asyncio.run(scenario(Path(directory)))
