"""Raw readings as they are stored: the node's stream `readings`, which never leaves the node."""

from collections.abc import Sequence

import msgspec

from littoral.core.errors import StorageCorrupt
from littoral.core.names import StreamName
from littoral.core.undecodable import UNDECODABLE
from littoral.store.stream import Span, StreamInfo
from littoral.store.transaction import Transaction

READINGS = "readings"


class RawReading(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One publish of QoS 1, as it came."""

    topic: str
    payload: bytes
    arrived_ms: int
    """By the node's clock, ms since the epoch."""


_decode = msgspec.msgpack.Decoder(RawReading).decode


def readings_stream(node: str) -> StreamName:
    """The stream of a node's raw readings."""
    return StreamName(node, READINGS)


def open_readings(tx: Transaction) -> StreamInfo:
    """The stream, created at first use."""
    return tx.open_stream(readings_stream(tx.node), content_type="application/msgpack", lane="telemetry", reach="node")


def append_readings(tx: Transaction, records: Sequence[bytes]) -> Span:
    """Add raw readings. Raises as `tx.append`."""
    name = readings_stream(tx.node)
    if tx.stream(name) is None:
        open_readings(tx)
    return tx.append(name, records)


def decode_reading(record: bytes) -> RawReading:
    """A stored reading. Raises StorageCorrupt: the broker wrote it, nobody else can."""
    try:
        return _decode(record)
    except UNDECODABLE as error:
        raise StorageCorrupt("decode reading of", READINGS, str(error)) from error
