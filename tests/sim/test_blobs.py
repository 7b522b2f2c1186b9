"""Blobs between nodes, over links that break."""

import asyncio
import math
import zlib
from collections.abc import Callable

import msgspec
import pytest

from littoral.core.errors import InvalidInput, NotFound, StorageError, Unavailable
from littoral.core.http import AnyResponse, Request, Response, StreamingResponse
from littoral.core.names import StreamName
from littoral.store.blob_file import BLOCK_BYTES, finished_path
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.net import Link, Traffic
from littoral.testing.tree import SimNode, SimTree
from littoral.wire import peer
from tests.support.blobs import KIB, MIB, content, digest_of

PIECE = 256 * KIB


async def api(node: SimNode, method: str, path: str, body: bytes = b"", **query: str) -> AnyResponse:
    headers = {"authorization": f"Bearer {node.running.operator_token}"} | (
        {"range": query.pop("range")} if "range" in query else {}
    )
    return await node.running.operator_api.handle(Request(method, path, query, headers, body))


async def put(node: SimNode, data: bytes, **query: str) -> str:
    response = await api(node, "PUT", "/v1/blobs", data, **query)
    assert isinstance(response, Response)
    assert response.status == 201
    return str(msgspec.json.decode(response.body)["digest"])


async def get(node: SimNode, name: str, **query: str) -> bytes:
    response = await api(node, "GET", f"/v1/blobs/{name}", b"", **query)
    assert isinstance(response, StreamingResponse), response
    return b"".join([chunk async for chunk in response.chunks])


async def note_chunks(got: list[bytes], response: StreamingResponse) -> None:
    async for chunk in response.chunks:
        got.append(chunk)  # noqa: PERF401 -- what came before an error counts


def has(node: SimNode, data: bytes) -> bool:
    if node.hub is None:
        return False
    row = node.hub.blobs.row(digest_of(data))
    return row is not None and row.complete


def file_of(node: SimNode, data: bytes) -> bytes | None:
    return node.disk.read(finished_path(digest_of(data)))


class Wire:
    """What of blobs has crossed the links of a tree."""

    def __init__(self, tree: SimTree) -> None:
        self.pieces: list[tuple[str, int]] = []
        tree.network.observe = self._note

    def _note(self, traffic: Traffic) -> None:
        if traffic.event == "requests" and traffic.path == peer.BLOB_PIECE:
            self.pieces.append((traffic.source, traffic.size_bytes))
        if traffic.event == "answered" and traffic.path == peer.BLOB:
            self.pieces.append((traffic.source, traffic.size_bytes))

    def bytes_of(self, node: str) -> int:
        return sum(size for source, size in self.pieces if source == node)


async def three(tree: SimTree, **limits: int) -> tuple[SimNode, SimNode, SimNode]:
    limits = {"blob_piece_bytes": PIECE, **limits}
    root = await tree.start_root("cloud", **limits)
    relay = await tree.start_child("eu", "region", root, None, **limits)
    leaf = await tree.start_child("plant-a", "site", relay, None, **limits)
    await tree.until(lambda: leaf.running.uplink and leaf.running.uplink.state.connected)
    return root, relay, leaf


async def two(tree: SimTree, bytes_per_s: float = math.inf) -> tuple[SimNode, SimNode, Link]:
    """A root and a child, and the link between them."""
    root = await tree.start_root("cloud", blob_piece_bytes=PIECE)
    leaf = await tree.start_child("plant-a", "site", root, None, blob_piece_bytes=PIECE)
    await tree.until(lambda: leaf.running.uplink and leaf.running.uplink.state.connected)
    link = tree.network.link("plant-a", root.peer_url)
    link.bytes_per_s = bytes_per_s
    return root, leaf, link


def simulated(main: Callable, seed: int = 1) -> None:
    async def whole() -> None:
        tree = SimTree(seed)
        await main(tree)
        await tree.stop()

    run(whole, seed)


def test_a_blob_goes_up_to_the_root_and_down_to_another_leaf():
    data = content(3 * MIB + 77)

    async def main(tree: SimTree) -> None:
        root, relay, leaf = await three(tree)
        other = await tree.start_child("plant-b", "site", relay, None, blob_piece_bytes=PIECE)
        name = await put(leaf, data, send="up")
        await tree.until(lambda: has(root, data))
        await tree.until(lambda: leaf.running.report.now().blobs.to_send == 0)
        assert has(relay, data)
        assert leaf.running.report.now().blobs.count == 1
        # Down: a range of it first, then all; the relay has it already.
        assert await get(other, name, range=f"bytes={MIB}-{MIB + 9}") == data[MIB : MIB + 10]
        assert await get(other, name) == data
        assert has(other, data)

    simulated(main)


def test_what_only_the_root_has_comes_down_through_the_relay_once():
    data = content(3 * MIB + 77)

    async def main(tree: SimTree) -> None:
        root, relay, leaf = await three(tree)
        name = await put(root, data)
        wire = Wire(tree)
        await api(leaf, "HEAD", f"/v1/blobs/{name}")
        assert not has(relay, data)
        both = await asyncio.gather(get(leaf, name), get(leaf, name), get(relay, name))
        assert all(each == data for each in both)
        assert has(relay, data)
        for node in ("eu", "plant-a"):
            assert len(data) < wire.bytes_of(node) < len(data) + PIECE
        with pytest.raises(NotFound):
            await get(leaf, f"sha256:{'0' * 64}")

    simulated(main)


@pytest.mark.parametrize("seed", range(3))
def test_cuts_in_the_middle_of_pieces_cost_a_piece_each(seed: int):
    data = content(2 * MIB)
    cuts = 5

    async def main(tree: SimTree) -> None:
        root, leaf, link = await two(tree, 200 * KIB)
        wire = Wire(tree)
        name = await put(leaf, data, send="up")
        for n in range(cuts):
            await asyncio.sleep(1.0 + 0.3 * n + 0.1 * seed)
            link.cut(reset=bool(n % 2))
            if n == 2:
                root.cut_power()
                await root.start()
            if n == 3:
                leaf.cut_power()
                await leaf.start()
            await asyncio.sleep(20.0)
            link.restore()
        assert not has(root, data)
        await tree.until(lambda: has(root, data))
        assert await get(root, name) == data
        # What was sent, whether it came or not.
        assert len(data) <= wire.bytes_of("plant-a") < len(data) + cuts * (PIECE + KIB)

    simulated(main, seed)


def test_a_piece_whose_answer_was_lost_is_not_sent_again():
    data = content(2 * MIB)

    async def main(tree: SimTree) -> None:
        root, leaf, link = await two(tree, 200 * KIB)
        wire = Wire(tree)
        await put(leaf, data, send="up")
        await asyncio.sleep(2.0)
        link.cut("responses")
        had = root.running.blobs.have(digest_of(data))
        await tree.until(lambda: root.running.blobs.have(digest_of(data)) > had)
        link.cut(reset=True)
        link.restore()
        await tree.until(lambda: has(root, data))
        assert wire.bytes_of("plant-a") < len(data) + PIECE // 2

    simulated(main)


def test_a_fetch_goes_on_at_the_byte_while_somebody_reads():
    data = content(4 * MIB)

    async def main(tree: SimTree) -> None:
        root, leaf, link = await two(tree, 400 * KIB)
        wire = Wire(tree)
        name = await put(root, data)
        reading = asyncio.ensure_future(get(leaf, name))
        for _ in range(2):
            await asyncio.sleep(2.5)
            link.cut(reset=True)
            await asyncio.sleep(5.0)
            link.restore()
        assert await reading == data
        assert wire.bytes_of("plant-a") < len(data) + 3 * (PIECE + KIB)
        # Half of another one, then nobody reads: it stays, and is gone on with.
        more = content(4 * MIB, 2)
        name = await put(root, more)
        reading = asyncio.ensure_future(get(leaf, name))
        await asyncio.sleep(4.0)
        link.cut(reset=True)
        with pytest.raises(Unavailable, match="nothing has come from the parent"):
            await reading
        had = leaf.running.blobs.have(digest_of(more))
        assert had > MIB
        await asyncio.sleep(120.0)
        link.restore()
        wire.pieces.clear()
        await tree.until(lambda: leaf.running.uplink and leaf.running.uplink.state.connected)
        assert await get(leaf, name) == more
        assert wire.bytes_of("plant-a") < len(more) - had + PIECE

    simulated(main)


def test_what_the_parent_has_is_not_sent_again():
    data = content(2 * MIB)

    async def main(tree: SimTree) -> None:
        root, relay, leaf = await three(tree)
        await put(root, data)
        wire = Wire(tree)
        await put(relay, data, send="up")
        await tree.until(lambda: relay.running.report.now().blobs.to_send == 0)
        await put(leaf, data, send="up")
        await tree.until(lambda: leaf.running.report.now().blobs.to_send == 0)
        assert wire.pieces == []

    simulated(main)


def test_a_piece_that_was_damaged_on_its_way_is_sent_again():
    data = content(MIB)

    async def main(tree: SimTree) -> None:
        root, leaf, _ = await two(tree)
        damaged: list[Request] = []

        async def damaging(request: Request) -> AnyResponse:
            if request.path == peer.BLOB_PIECE and len(damaged) < 2:
                damaged.append(request)
                body = bytearray(request.body)
                body[-100] ^= 1
                request = Request(request.method, request.path, request.query, request.headers, bytes(body))
            return await root.running.answer_peer(request)

        tree.network.serve(root.peer_url, damaging)
        wire = Wire(tree)
        name = await put(leaf, data, send="up")
        await tree.until(lambda: has(root, data))
        assert len(damaged) == 2
        assert wire.bytes_of("plant-a") < len(data) + 3 * (PIECE + KIB)
        assert await get(root, name) == data
        assert leaf.records("plant-a/dead-letters") == []

    simulated(main)


def test_what_comes_damaged_every_time_is_given_up():
    data = content(MIB)

    async def main(tree: SimTree) -> None:
        root, leaf, _ = await two(tree)

        async def damaging(request: Request) -> AnyResponse:
            if request.path == peer.BLOB_PIECE:
                body = bytearray(request.body)
                body[-100] ^= 1
                request = Request(request.method, request.path, request.query, request.headers, bytes(body))
            return await root.running.answer_peer(request)

        tree.network.serve(root.peer_url, damaging)
        await put(leaf, data, send="up")
        await tree.until(lambda: leaf.records("plant-a/dead-letters"))
        assert b"its checksum does not match" in leaf.records("plant-a/dead-letters")[0]
        assert leaf.running.report.now().blobs.to_send == 0

    simulated(main)


def test_nobody_gets_all_of_what_is_not_what_its_digest_says():
    data = content(MIB)

    async def main(tree: SimTree) -> None:
        root, leaf, _ = await two(tree)
        name = await put(root, data)
        lies = True

        async def lying(request: Request) -> AnyResponse:
            response = await root.running.answer_peer(request)
            if request.path != peer.BLOB or not lies or not isinstance(response, Response):
                return response
            part = peer.decode(response.body, peer.BlobPart, "part")
            wrong = part.data.replace(b"a", b"b")
            return Response(200, response.headers, peer.encode(peer.BlobPart(part.size, zlib.crc32(wrong), wrong)))

        tree.network.serve(root.peer_url, lying)
        response = await api(leaf, "GET", f"/v1/blobs/{name}")
        assert isinstance(response, StreamingResponse)
        got: list[bytes] = []
        with pytest.raises(InvalidInput, match="their digest is another"):
            await note_chunks(got, response)
        assert len(b"".join(got)) == len(data) - BLOCK_BYTES
        assert leaf.running.blobs.rows() == []
        lies = False
        assert await get(leaf, name) == data

    simulated(main)


def test_what_the_parent_never_takes_is_put_into_the_dead_letters():
    data = content(2 * MIB)

    async def main(tree: SimTree) -> None:
        root = await tree.start_root("cloud", blob_bytes=MIB)
        leaf = await tree.start_child("plant-a", "site", root)
        wire = Wire(tree)
        name = await put(leaf, data, send="up")
        await tree.until(lambda: leaf.records("plant-a/dead-letters"))
        (letter,) = leaf.records("plant-a/dead-letters")
        assert f"blob {name}".encode() in letter
        assert b"at most 1048576 are allowed" in letter
        assert wire.pieces == []
        assert leaf.running.report.now().blobs.to_send == 0
        # It is here still, and what can be sent goes on.
        assert await get(leaf, name) == data
        small = content(KIB, 2)
        await put(leaf, small, send="up")
        await tree.until(lambda: has(root, small))

    simulated(main)


def test_what_is_damaged_here_is_put_into_the_dead_letters():
    data = content(MIB)

    async def main(tree: SimTree) -> None:
        root = await tree.start_root("cloud")
        leaf = await tree.start_child("plant-a", "site", root)
        name = await put(leaf, data)
        leaf.disk._files[finished_path(digest_of(data))].content[5 * BLOCK_BYTES] ^= 1
        await put(leaf, data, send="up")
        await tree.until(lambda: leaf.records("plant-a/dead-letters"))
        assert name.encode() in leaf.records("plant-a/dead-letters")[0]
        assert not has(root, data)

    simulated(main)


def test_one_that_the_disk_does_not_give_just_now_holds_nothing_up_and_goes_when_it_does(
    monkeypatch: pytest.MonkeyPatch,
):
    data = content(MIB)

    async def main(tree: SimTree) -> None:
        root = await tree.start_root("cloud")
        leaf = await tree.start_child("plant-a", "site", root)
        read_at, fails = leaf.disk.read_at, True

        def read_unless_it_fails(path: str, offset: int, length: int) -> bytes:
            if fails and path == finished_path(digest_of(data)):
                raise StorageError("read", path, "input/output error")
            return read_at(path, offset, length)

        monkeypatch.setattr(leaf.disk, "read_at", read_unless_it_fails)
        await put(leaf, data, send="up")
        await asyncio.sleep(60.0)
        assert leaf.running.uplink is not None
        assert leaf.running.uplink.state.sessions == 1
        assert leaf.records("plant-a/dead-letters") == []
        fails = False
        await tree.until(lambda: has(root, data))

    simulated(main)


def test_a_parent_without_room_is_asked_again():
    data = content(MIB)

    async def main(tree: SimTree) -> None:
        root = await tree.start_root("cloud", blobs_bytes=7 * MIB // 2)
        leaf = await tree.start_child("plant-a", "site", root)
        await put(root, content(3 * MIB, 2))
        await put(leaf, data, send="up")
        await asyncio.sleep(100.0)
        assert not has(root, data)
        assert leaf.running.report.now().blobs.to_send == 1
        await root.running.blobs.drop(digest_of(content(3 * MIB, 2)))
        await tree.until(lambda: has(root, data))
        assert leaf.records("plant-a/dead-letters") == []

    simulated(main)


def test_blobs_and_telemetry_share_the_link():
    data = content(4 * MIB)

    async def main(tree: SimTree) -> None:
        root = await tree.start_root("cloud", blob_piece_bytes=64 * KIB)
        leaf = await tree.start_child(
            "plant-a", "site", root, None, blob_piece_bytes=64 * KIB, uplink_batch_bytes=64 * KIB
        )
        await tree.until(lambda: leaf.running.uplink and leaf.running.uplink.state.connected)
        link = tree.network.link("plant-a", root.peer_url)
        link.bytes_per_s = 256 * KIB
        stream = StreamName("plant-a", "readings")

        def fill(tx: Transaction) -> None:
            tx.open_stream(stream, lane="telemetry")
            for n in range(400):
                tx.append(stream, [content(20 * KIB, n)])

        await leaf.running.store.submit(fill)
        await put(leaf, data, send="up")
        waiting = leaf.running.report.now().lanes["telemetry"].records
        await asyncio.sleep(20.0)
        shipped = waiting - leaf.running.report.now().lanes["telemetry"].records
        uplink = leaf.running.uplink
        assert uplink is not None
        assert uplink.blobs is not None
        blob_bytes = uplink.blobs.sent_bytes
        # 5 MiB went over the link in that time.
        assert shipped * 20 * KIB > 3 * MIB
        # About a thirteenth of it, in whole pieces.
        assert 192 * KIB < blob_bytes < 640 * KIB
        await tree.until(lambda: has(root, data))

    simulated(main)


async def offer(node: SimNode, digest: str, size: int, data: bytes = b"") -> None:
    """What a child says that means ill; what it is answered is left to the test."""
    assert node.running.uplink is not None
    link = node.running.uplink.link
    await link.call("POST", peer.BLOB_OFFER, peer.encode(peer.BlobOffer(digest, size)))
    if data:
        piece = peer.BlobPiece(digest, 0, zlib.crc32(data), data)
        await link.call("POST", peer.BLOB_PIECE, peer.encode(piece))


@pytest.mark.parametrize("lie", [-MIB, 0, MIB])
def test_what_a_child_brings_is_given_to_nobody_before_it_is_right(lie: int):
    data, junk = content(2 * MIB), content(MIB, 9)

    async def main(tree: SimTree) -> None:
        root, relay, leaf = await three(tree)
        name = await put(root, data)
        await offer(leaf, digest_of(data), len(data) + lie, junk[: MIB // 2])
        assert await get(relay, name) == data
        assert await get(leaf, name, range="bytes=0-99") == data[:100]

    simulated(main)


def test_a_child_cannot_keep_another_from_sending():
    data = content(2 * MIB)
    digest = digest_of(data)

    async def main(tree: SimTree) -> None:
        root, leaf, _ = await two(tree, 200 * KIB)
        foe = await tree.start_child("plant-b", "site", root)
        await tree.until(lambda: foe.running.uplink and foe.running.uplink.state.connected)
        wire = Wire(tree)
        name = await put(leaf, data, send="up")
        await tree.until(lambda: root.running.blobs.have(digest))
        refused = 0
        while not has(root, data):
            assert refused < 1000
            try:
                await offer(foe, digest, len(data) + refused % 3, content(BLOCK_BYTES, 9))
            except Unavailable:
                refused += 1
            await asyncio.sleep(0.1)
        assert refused > 10
        assert await get(root, name) == data
        assert wire.bytes_of("plant-a") < len(data) + PIECE
        assert leaf.records("plant-a/dead-letters") == []

    simulated(main)


def test_a_blob_that_was_dropped_while_it_was_sent_is_sent_anew_however_often():
    data = content(2 * MIB)

    async def main(tree: SimTree) -> None:
        root, leaf, _ = await two(tree, 200 * KIB)
        await put(leaf, data, send="up")
        for _ in range(8):
            await tree.until(lambda: root.running.blobs.have(digest_of(data)) > PIECE)
            await root.running.blobs.drop(digest_of(data))
        await tree.until(lambda: has(root, data))
        assert leaf.records("plant-a/dead-letters") == []

    simulated(main)
