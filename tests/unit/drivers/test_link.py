"""The relay that plays a WAN, over real sockets."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Self

import pytest

from littoral.core.errors import StartupError
from littoral.core.limits import Limits
from littoral.drivers.clock import SystemClock
from littoral.drivers.link import Target, WanLink

DEADLINE_S = 30.0


class Parent:
    """A server that keeps what it hears, answers each read with `echo:` and it, and hears connections end."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self.ended = 0

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while data := await reader.read(65_536):
                self.heard.append(data)
                writer.write(b"echo:" + data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.ended += 1
            writer.close()


class World:
    """A parent, and a link that leads to it by two ports."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.parent = Parent()
        self.faults: list[BaseException] = []

    async def __aenter__(self) -> Self:
        port = await self.parent.start()
        targets = [Target("peer", "127.0.0.1", port), Target("join", "127.0.0.1", port)]
        self.link = WanLink("plant-a", targets, SystemClock(), self.limits, self.faults.append)
        await self.link.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.link.stop()
        self.parent.server.close()
        assert self.faults == []

    async def connect(self, target: str = "peer") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.link.port(target))


def run(story: Callable[[World], Awaitable[None]], limits: Limits | None = None) -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S), World(limits) as world:
            await story(world)

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def ask(stream: tuple[asyncio.StreamReader, asyncio.StreamWriter], word: bytes) -> bytes:
    stream[1].write(word)
    return await stream[0].readexactly(5 + len(word))


def test_an_open_link_carries_both_ways_and_counts() -> None:
    async def story(world: World) -> None:
        child = await world.connect()
        assert await ask(child, b"hello") == b"echo:hello"
        child[1].write_eof()
        assert await child[0].read() == b""
        await until(lambda: world.link.statistics().connections == 0)
        statistics = world.link.statistics()
        assert (statistics.state, statistics.bytes_up, statistics.bytes_down) == ("up", 5, 10)
        child[1].close()

    run(story)


def test_delay_is_per_direction_and_does_not_limit_bandwidth() -> None:
    async def story(world: World) -> None:
        world.link.delay(50)
        child = await world.connect()
        assert await ask(child, b"first") == b"echo:first"
        began_s = time.monotonic()
        assert await ask(child, b"again") == b"echo:again"
        assert 0.1 <= time.monotonic() - began_s < 0.5
        began_s = time.monotonic()
        megabytes = bytes(4 << 20)
        child[1].write(megabytes)
        await until(lambda: sum(map(len, world.parent.heard)) >= 10 + len(megabytes))
        assert time.monotonic() - began_s < 2.0  # piece by piece it would be 64 delays: 3.2 s
        child[1].close()

    run(story)


def test_bytes_arrive_in_order_when_the_delay_shrinks() -> None:
    async def story(world: World) -> None:
        child = await world.connect()
        assert await ask(child, b"x") == b"echo:x"
        world.link.delay(200)
        child[1].write(b"slow")
        await until(lambda: world.link.statistics().bytes_up == 5)
        world.link.delay(0)
        child[1].write(b"fast")
        await until(lambda: b"".join(world.parent.heard) == b"xslowfast")
        child[1].close()

    run(story)


def test_bandwidth_is_shared_by_all_connections() -> None:
    async def story(world: World) -> None:
        first, second = await world.connect("peer"), await world.connect("join")
        await ask(first, b"x")
        await ask(second, b"x")
        world.link.bandwidth(1_000_000)
        began_s = time.monotonic()
        first[1].write(bytes(200_000))
        second[1].write(bytes(200_000))
        await until(lambda: sum(map(len, world.parent.heard)) == 400_002)
        assert 0.35 <= time.monotonic() - began_s < 1.5
        first[1].close()
        second[1].close()

    run(story)


def test_a_cut_that_refuses_resets_and_refuses_until_restored() -> None:
    async def story(world: World) -> None:
        child = await world.connect()
        await ask(child, b"before")
        await world.link.cut("refuse")
        with pytest.raises(ConnectionResetError):
            await child[0].read()
        for target in ("peer", "join"):
            with pytest.raises(ConnectionRefusedError):
                await world.connect(target)
        await until(lambda: world.parent.ended == 1)
        await world.link.restore()
        child = await world.connect()
        assert await ask(child, b"after") == b"echo:after"
        child[1].close()

    run(story)


def test_a_black_hole_leaves_both_ends_half_open_until_restored() -> None:
    async def story(world: World) -> None:
        child = await world.connect()
        await ask(child, b"before")
        await world.link.cut("blackhole")
        child[1].write(b"into the dark")
        late = await world.connect()
        late[1].write(b"late")
        for reader, _ in (child, late):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
        assert (world.parent.heard, world.parent.connections, world.parent.ended) == ([b"before"], 1, 0)
        assert world.link.statistics().bytes_up == len(b"before")
        await world.link.restore()
        for reader, _ in (child, late):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        await until(lambda: world.parent.ended == 1)
        again = await world.connect()
        assert await ask(again, b"after") == b"echo:after"
        again[1].close()

    run(story)


def test_who_gives_up_on_a_black_hole_is_not_heard_of_at_the_other_end() -> None:
    async def story(world: World) -> None:
        child = await world.connect()
        await ask(child, b"before")
        await world.link.cut("blackhole")
        child[1].transport.abort()
        late = await world.connect()
        late[1].close()
        await until(lambda: world.link.statistics().connections == 1)
        assert world.parent.ended == 0
        await world.link.restore()
        await until(lambda: world.parent.ended == 1)

    run(story)


def test_a_connection_too_many_is_reset() -> None:
    limits = Limits({"link-connections": 1})

    async def story(world: World) -> None:
        child = await world.connect()
        await ask(child, b"x")
        other = await world.connect()
        with pytest.raises(ConnectionResetError):
            await other[0].read()
        assert limits.reached["link-connections"] == 1
        child[1].close()

    run(story, limits)


def test_a_full_buffer_pauses_the_sender_and_loses_nothing() -> None:
    limits = Limits({"link-buffer-bytes": 100_000})

    async def story(world: World) -> None:
        child = await world.connect()
        await ask(child, b"x")
        world.link.delay(20)
        child[1].write(bytes(1_000_000))
        await until(lambda: limits.reached["link-buffer-bytes"] > 0)
        await until(lambda: sum(map(len, world.parent.heard)) == 1_000_001)
        child[1].close()

    run(story, limits)


def test_a_target_that_does_not_listen_resets_the_child() -> None:
    async def story(world: World) -> None:
        world.parent.server.close()
        child = await world.connect()
        with pytest.raises(ConnectionResetError):
            await child[0].read()

    run(story)


def test_a_port_in_use_is_a_clear_error() -> None:
    async def story(world: World) -> None:
        taken = world.parent.server.sockets[0].getsockname()[1]
        with pytest.raises(StartupError, match="in use"):
            WanLink("b", [Target("peer", "127.0.0.1", 1, taken)], SystemClock(), Limits(), world.faults.append)

    run(story)
