"""What neighbours in the tree say to each other, as msgpack bodies over HTTP.

The child opens every connection. `hello` begins a session and tells the child where the parent's copies end;
`batches` ships records up; `notify` is one long response in which the parent announces the tails of the streams
that the child follows; `read` fetches them, and `snapshot` what is folded from one whose beginning is gone. `blob`
fetches pieces of a blob; `blob/offer` asks how much of one the parent has, and `blob/piece` brings it more.
"""

import zlib
from typing import Annotated, Literal, TypeVar

import msgspec
import zstandard

from littoral.core.errors import InvalidInput
from littoral.core.hlc import HLC_MOST
from littoral.core.http import Response
from littoral.core.lanes import Lane
from littoral.core.limits import RECORD_BYTES, UPLINK_BATCH_BYTES
from littoral.core.resources import Tier
from littoral.core.undecodable import UNDECODABLE
from littoral.wire.compression import Undecodable, decompress

PROTOCOL_VERSION = 1
MSGPACK = "application/msgpack"

HELLO = "/v1/peer/hello"
BATCHES = "/v1/peer/batches"
NOTIFY = "/v1/peer/notify"
READ = "/v1/peer/read"
SNAPSHOT = "/v1/peer/snapshot"
BLOB = "/v1/peer/blob"
BLOB_OFFER = "/v1/peer/blob/offer"
BLOB_PIECE = "/v1/peer/blob/piece"
SPREAD_MOST_S = 3600.0
"""A child does not stay away for longer, whatever its parent says."""

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""SHA-256 as hexadecimal digits."""
BlobSize = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62))]


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where a copy of a stream ends."""

    origin: str
    path: str
    next: int
    lineage: str = ""
    """The history the copy's offsets belong to; empty where there is none."""
    chain: bytes = b""
    """The chain hash there, of a stream from which a state is folded; empty of any other."""


class Member(msgspec.Struct, frozen=True, array_like=True):
    """A node below, as it describes itself: what placement looks at."""

    node: str
    tier: Tier
    labels: dict[str, str]


class SnapshotPage(msgspec.Struct, frozen=True, array_like=True):
    """A part of what is folded from a stream, and where the stream stood when the part was read."""

    lineage: str
    offset: int
    chain: bytes
    content_type: str
    lane: Lane
    reach: Literal["node", "link", "root"]
    items: bytes | list[bytes]
    """One msgpack array of all; one by one from and for a node that does not know of chunks."""
    cursor: str | None
    """Give it to the next call; None at the end."""
    horizon: Annotated[int, msgspec.Meta(ge=0, le=HLC_MOST)] = 0
    """Of a key-value namespace: the greatest timestamp of a tombstone that the parent has forgotten. A parent that
    does not say has forgotten none."""
    digest: bytes = b""
    """SHA-256 of the others (`littoral.streams.bootstrap.digest_of`). A parent that does not say has none."""


class Hello(msgspec.Struct, frozen=True):
    """The child's first words of a session."""

    protocol: int
    node: str
    members: list[Member]
    """The child itself and all nodes it knows below it."""
    streams: list[tuple[str, str]]
    """(origin, path) of the streams it is going to ship."""


class Welcome(msgspec.Struct, frozen=True):
    """The parent's answer."""

    protocol: int
    node: str
    marks: list[Mark]
    """Of the child's streams, where the parent's copies end; 0 for one it does not have."""
    spread_s: Annotated[float, msgspec.Meta(ge=0, le=SPREAD_MOST_S)] = 0.0
    """Over how long the parent's children are to spread when their sessions have ended. A parent that does not say has
    few."""
    elsewhere: list[str] = []
    """Of the members, those that the parent knows in another part of the tree: they were moved."""
    unproved: list[str] = []
    """Of the members, those of whom the parent, or one above it, takes nothing until they show their keys, by renewing their
    certificates through their own parents. With those of `elsewhere`, which may be mistaken."""
    lineage: str = ""
    """Of the parent's store: one that was restored from a backup has another. A parent that does not say has not changed."""
    relay_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    """Where its gateways answer those of the child, at the host by which the child reaches the parent; 0 for nowhere."""


class BlobOffer(msgspec.Struct, frozen=True, array_like=True):
    """A blob that the child has and that is to go up to the root."""

    digest: Digest
    size: BlobSize


class BlobMark(msgspec.Struct, frozen=True, array_like=True):
    """How far a blob has come."""

    have: int
    """Bytes that are synced: where to go on."""
    complete: bool
    """Whether all are there and their digest is right. One of which all bytes are there, and that is not complete, is being
    looked at: ask again."""


class BlobPiece(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of a blob on their way up."""

    digest: Digest
    offset: BlobSize
    crc: int
    """CRC-32 of `data`."""
    data: bytes


class BlobPart(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of a blob on their way down; none where the parent waits for them itself."""

    size: BlobSize
    """Of the whole blob."""
    crc: int
    data: bytes


T = TypeVar("T")


def decode(data: bytes, kind: type[T], what: str) -> T:
    """`data` as a `kind`. Raises InvalidInput that names `what` and the place."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except UNDECODABLE as error:
        raise InvalidInput(
            "read",
            what,
            f"it is not what this version of Littoral expects ({error})",
            "Run the same version on both nodes",
        ) from error


encode = msgspec.msgpack.Encoder().encode


def answer(message: object) -> Response:
    """A message as a response."""
    return Response(200, [("content-type", MSGPACK)], encode(message))


def check_crc(data: bytes, crc: int, what: str) -> bytes:
    """`data`, if its CRC-32 is `crc`. Raises InvalidInput."""
    if zlib.crc32(data) != crc:
        raise InvalidInput("read", what, "its checksum does not match: it was damaged on its way", "Send it again")
    return data


PACK_LEVEL, METERED_LEVEL, FAST_LEVEL = 3, 9, 1
"""Of zstd; docs/adr/0018 has what each gives."""
UNPACKED_MOST_BYTES = 2 * (UPLINK_BATCH_BYTES.most + RECORD_BYTES.most)
"""A frame is full, and one batch more, at the most that a node can set its limits to; twice that, for what stands around
the payloads. What a node may hold of a body that is not compressed is the listener's to say."""


def pack(value: object, level: int = PACK_LEVEL) -> bytes:
    """`value` encoded and compressed as a whole: the records of a frame are much like each other, while the batches
    that hold them are often too small to be compressed one by one."""
    return zstandard.compress(encode(value), level)


def unpack(data: bytes, kind: type[T], what: str) -> T:
    """What `pack` made, as a `kind`. Raises InvalidInput."""
    try:
        return decode(decompress(data, UNPACKED_MOST_BYTES), kind, what)
    except Undecodable as error:
        raise InvalidInput("read", what, str(error), "Run the same version on both nodes") from error
