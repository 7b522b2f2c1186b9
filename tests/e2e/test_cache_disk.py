"""What gateways keep on the disk, with real processes that are killed and started again."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from littoral.core.gateway_limits import GATEWAY_DISK_BYTES
from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import OriginSpec, RouteSpec, Target
from littoral.gateway.cache.purge import Purge
from tests.support.functions_node import FunctionNode
from tests.support.raw_origin import Answer, RawOrigin, whole

FRESH = "cache-control: max-age=600"
MIB = 1 << 20


def run(
    answer: Answer, scenario: Callable[[FunctionNode, RawOrigin], Coroutine[Any, Any, None]], **settings: Any
) -> None:
    async def main() -> None:
        async with RawOrigin(answer) as origin, FunctionNode(**settings) as node:
            spec = RouteSpec(match=[RouteMatch(path="/*")], origin="shop")
            node.route("all", spec, OriginSpec(targets=[Target(url=origin.url)]))
            await connected(node)
            async with asyncio.timeout(60):
                await scenario(node, origin)

    asyncio.run(main())


async def connected(node: FunctionNode) -> None:
    await node.until(lambda: node.control.gateways == node.gateways)


async def kill(node: FunctionNode) -> None:
    """All gateways, without a warning."""
    for index in range(node.gateways):
        node.kill(f"gateway-{index}")
    await node.until(lambda: not node.control.gateways)


async def start(node: FunctionNode) -> None:
    for index in range(node.gateways):
        node.start_gateway(index)
    await connected(node)


async def restart(node: FunctionNode) -> None:
    await kill(node)
    await start(node)


async def written(node: FunctionNode, objects: int) -> None:
    await node.until(lambda: any(report.meters.disk.objects >= objects for report in node.reports.values()))


def versions() -> Answer:
    """Each answer is another one."""
    numbers = itertools.count(1)

    async def answer(head: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole(b"%d" % next(numbers), FRESH, f"cache-tag: {head.split()[1][1:]}"))

    return answer


def test_after_all_gateways_were_killed_what_was_stored_is_given_unless_it_was_purged_meanwhile() -> None:
    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        assert [(await node.get(path)).body for path in ("/a", "/b")] == [b"1", b"2"]
        await written(node, 2)
        await kill(node)
        await node.purges.purge(Purge("tag", "a"))
        await start(node)
        assert (await node.get("/a")).body == b"3"
        # Before it is on the disk the other gateway has to fetch it, too.
        node.reports.clear()
        await written(node, 2)
        assert {(await node.get("/a")).body for _ in range(8)} == {b"3"}
        replies = [await node.get("/b") for _ in range(8)]
        assert ({reply.body for reply in replies}, len(origin.heads)) == ({b"2"}, 3)
        assert "; hit; ttl=" in replies[0].headers["cache-status"]

    run(versions(), scenario, gateways=2)


def test_killed_at_any_moment_nobody_gives_what_was_purged() -> None:
    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        given = 0
        for _ in range(3):
            for number in range(20):
                assert int((await node.get(f"/{number}")).body) > given
            await node.purges.purge(Purge("all"))
            given = len(origin.heads)
            await asyncio.gather(*(node.get(f"/{number}") for number in range(20)))
            await restart(node)

    run(versions(), scenario)


def test_a_large_body_is_fetched_once_for_all_and_takes_no_memory() -> None:
    size = 128 * MIB
    held = asyncio.Event()

    async def large(head: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n{FRESH}\r\n\r\n".encode())
        for number in range(size // MIB):
            writer.write(bytes([number]) * MIB)
            await writer.drain()
            if number == 60:
                await held.wait()

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        before = resident(node)
        clients = [asyncio.ensure_future(download(node, size)) for _ in range(7)]
        await node.until(lambda: 0 in node.reports and node.reports[0].meters.inflight == 7)
        held.set()
        clients.append(asyncio.ensure_future(download(node, size)))
        most = before
        while not all(client.done() for client in clients):
            most = max(most, resident(node))
            await asyncio.sleep(0.01)
        assert [client.result() for client in clients] == [size] * 8
        await written(node, 1)
        for _ in range(2):
            assert await download(node, size) == size
            part = await node.get("/large", headers={"range": f"bytes={100 * MIB - 5}-{100 * MIB + 4}"})
            assert (part.status, part.body) == (206, bytes([99]) * 5 + bytes([100]) * 5)
            most = max(most, resident(node))
            await restart(node)
        assert len(origin.heads) == 1
        assert most - before < 32 * MIB

    run(large, scenario)


def resident(node: FunctionNode) -> int:
    pages = Path(f"/proc/{node.processes['gateway-0'].pid}/statm").read_text().split()[1]
    return int(pages) * 4096


async def download(node: FunctionNode, size: int) -> int:
    """How much of the large body came right."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(b"GET /large HTTP/1.1\r\nhost: edge.test\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    right = 0
    while right < size:
        piece = await reader.readexactly(min(MIB, size - right))
        if piece != bytes([right // MIB]) * len(piece):
            break
        right += len(piece)
    writer.close()
    return right


def test_all_gateways_together_stay_within_the_bound() -> None:
    bound = 4 * MIB

    async def pages(head: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole(bytes(100_000), FRESH))

    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        for first in range(0, 100, 20):
            await asyncio.gather(*(node.get(f"/{number}") for number in range(first, first + 20)))
        await node.until(lambda: sum(report.meters.disk.evicted for report in node.reports.values()) > 50)
        assert all(report.meters.disk.bytes <= bound for report in node.reports.values())
        await node.until(lambda: held(node.home / "cache" / "objects") <= bound)

    run(pages, scenario, gateways=2, overrides={GATEWAY_DISK_BYTES.name: bound})


def held(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*/*"))


def test_a_damaged_index_costs_what_is_stored_and_nothing_else() -> None:
    async def scenario(node: FunctionNode, origin: RawOrigin) -> None:
        assert (await node.get("/a")).body == b"1"
        await written(node, 1)
        await kill(node)
        (node.home / "cache" / "index.db-wal").unlink()
        (node.home / "cache" / "index.db").write_bytes(b"not a database" * 1000)
        await start(node)
        assert [(await node.get("/a")).body for _ in range(2)] == [b"2", b"2"]
        await written(node, 1)
        assert node.log() == ""

    run(versions(), scenario)
