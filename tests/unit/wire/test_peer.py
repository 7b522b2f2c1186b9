"""The messages between neighbours."""

import msgspec
import pytest
import zstandard

from littoral.core.errors import InvalidInput
from littoral.core.hlc import HLC_MOST
from littoral.wire import peer

HELLO = peer.Hello(1, "plant-a", [peer.Member("plant-a", "site", {"line": "3"})], [("plant-a", "windows")])


def test_messages_are_what_they_were():
    assert peer.decode(peer.encode(HELLO), peer.Hello, "hello") == HELLO
    assert peer.unpack(peer.pack(HELLO), peer.Hello, "hello") == HELLO


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x01", peer.encode({"protocol": "one"}), peer.encode(HELLO)[:-3]])
def test_what_is_no_message_is_refused_with_its_name_and_what_to_do(data: bytes):
    with pytest.raises(InvalidInput, match=r"cannot read hello: .*Run the same version on both nodes"):
        peer.decode(data, peer.Hello, "hello")


def test_fields_of_a_newer_version_are_passed_over():
    data = msgspec.msgpack.encode(msgspec.to_builtins(HELLO) | {"added": 1})
    assert peer.decode(data, peer.Hello, "hello") == HELLO


def test_a_small_body_that_would_fill_the_memory_is_refused():
    bomb = zstandard.compress(b"\0" * (peer.UNPACKED_MOST_BYTES + 1))
    assert len(bomb) < 10_000
    with pytest.raises(InvalidInput, match="unpacks to 16777217 bytes"):
        peer.unpack(bomb, bytes, "batches")


class OlderSnapshotPage(msgspec.Struct, frozen=True, array_like=True):
    """As it was before there were horizons."""

    lineage: str
    offset: int
    chain: bytes
    content_type: str
    lane: str
    reach: str
    items: list[bytes]
    cursor: str | None


def test_pages_of_older_and_newer_nodes_are_understood():
    older = OlderSnapshotPage("l", 1, b"", "t", "state", "link", [b"i"], "c")
    page = peer.decode(peer.encode(older), peer.SnapshotPage, "snapshot")
    assert (page.items, page.cursor, page.horizon) == ([b"i"], "c", 0)
    newer = msgspec.structs.replace(page, horizon=HLC_MOST)
    assert peer.decode(peer.encode(newer), peer.SnapshotPage, "snapshot") == newer
    assert peer.decode(peer.encode(newer), OlderSnapshotPage, "snapshot") == older


@pytest.mark.parametrize("horizon", [-1, HLC_MOST + 1])
def test_a_horizon_that_is_no_time_is_refused(horizon: int):
    page = peer.SnapshotPage("l", 1, b"", "t", "state", "link", b"", None, horizon)
    with pytest.raises(InvalidInput, match="read snapshot"):
        peer.decode(peer.encode(page), peer.SnapshotPage, "snapshot")
