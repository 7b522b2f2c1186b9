"""From a payload to a reading: a decoder made for one rule, which looks at the fields the rule needs and no others."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Annotated, NamedTuple, Protocol, cast

import msgspec

from littoral.core.errors import InvalidResource
from littoral.core.resources.rule import Field, RuleSpec, TimestampField
from littoral.core.undecodable import UNDECODABLE
from littoral.iot.rules.output import Reason
from littoral.iot.rules.sequence import NUMBER_MOST

Payload = bytes | memoryview

VALUE_MOST = 1e100
"""A greater magnitude is no measurement, and its square could not be summed: 1e100² is far from a float's 1.8e308."""
TIME_MOST_MS = 253_402_300_799_999
"""The end of the year 9999, as in RFC 3339."""
KEY_CHARACTERS_MOST = 256
"""A key becomes part of topics and of KV keys, which may be 512 bytes long."""
_NUMBER_BYTES_MOST = 64
"""No float needs more digits than that; longer ones would cost time to read."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES: dict[str, object] = {"value": float, "sequence": int, "key": str | int}


class Reading(NamedTuple):
    """One decoded reading."""

    key: str
    value: float
    ts: int
    """Milliseconds since the epoch."""
    sequence: int | None


class Unreadable(Exception):
    """A payload is not what the rule expects."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason: Reason = reason
        self.detail = detail
        super().__init__(reason, detail)


class FlatReading(Protocol):
    """What the typed decoder gives for a rule whose fields are all members of the payload itself."""

    value: float
    timestamp: int | float


class ReadingDecoder:
    """Reads payloads as one rule wants them."""

    def __init__(self, rule: str, spec: RuleSpec, ahead_most_ms: int) -> None:
        """ahead_most_ms: how far a reading's time may be ahead of its arrival.

        Raises InvalidResource where the fields do not fit the way of decoding, or each other.
        """
        self._ahead_most_ms = ahead_most_ms
        fields = _fields(spec)
        _check_fields(rule, spec, fields)
        timestamp = spec.timestamp
        self._rfc3339 = isinstance(timestamp, TimestampField) and timestamp.unit == "rfc3339"
        self.scale = 1000 if isinstance(timestamp, TimestampField) and timestamp.unit == "s" else 1
        """What a numeric timestamp is multiplied with to give milliseconds."""
        types = _TYPES | {"timestamp": Annotated[datetime, msgspec.Meta(tz=True)] if self._rfc3339 else int | float}
        self.decode: Callable[[Payload], object] = _decode_number
        """The typed decoder by itself; raises one of UNDECODABLE."""
        self._get: dict[str, Callable[[object], object]] = {}
        if spec.decode == "json":
            tree, where = _tree(rule, fields)
            self.decode = msgspec.json.Decoder(_struct(tree, types)).decode
            self._get = {name: attrgetter(place) for name, place in where.items()}
        numeric = isinstance(timestamp, TimestampField) and not self._rfc3339
        self.is_flat = numeric and set(fields) == {"value", "timestamp"} and all("." not in p for p in fields.values())
        """`decode` gives a FlatReading, and the topic is the key."""

    def read(self, topic: str, payload: Payload, arrived_ms: int) -> Reading:
        """Decode and check. Raises Unreadable and nothing else."""
        try:
            found = self.decode(payload)
        except msgspec.ValidationError as error:
            raise Unreadable("invalid", str(error)) from None
        except UNDECODABLE as error:
            raise Unreadable("malformed", str(error)) from None
        if not self._get:
            return Reading(topic, _checked_value(cast("float", found)), _checked_time(arrived_ms), None)
        get = self._get
        return Reading(
            _checked_key(get["key"](found)) if "key" in get else topic,
            _checked_value(cast("float", get["value"](found))),
            self._time(get["timestamp"](found), arrived_ms) if "timestamp" in get else _checked_time(arrived_ms),
            _checked_sequence(cast("int", get["sequence"](found))) if "sequence" in get else None,
        )

    def _time(self, found: object, arrived_ms: int) -> int:
        if self._rfc3339:
            ms = _checked_time((cast("datetime", found) - _EPOCH) // timedelta(milliseconds=1))
        else:
            ms = to_ms(cast("int | float", found), self.scale)
        # From the past anything may come: a replay. The watermark of a key never steps back, so one reading from the
        # far future would make all that follow late.
        if ms - arrived_ms > self._ahead_most_ms:
            detail = f"Timestamp {ms} ms is {ms - arrived_ms} ms ahead of this node's clock; limit event-ahead-ms"
            raise Unreadable("invalid", detail)
        return ms


def to_ms(timestamp: float, scale: int) -> int:
    """A numeric timestamp in milliseconds, rounded to the nearest. Raises Unreadable."""
    if not 0 <= timestamp <= TIME_MOST_MS // scale + 1:
        raise Unreadable("invalid", f"Timestamp {timestamp!r:.40} is not between 1970 and the end of the year 9999")
    return _checked_time(round(timestamp * scale))


def _checked_time(ms: int) -> int:
    if not 0 <= ms <= TIME_MOST_MS:
        raise Unreadable("invalid", f"Timestamp {ms!r:.40} ms is not between 1970 and the end of the year 9999")
    return ms


def _checked_value(value: float) -> float:
    # Also false for what is no number (NaN).
    if not -VALUE_MOST <= value <= VALUE_MOST:
        raise Unreadable("invalid", f"Value {value!r} is not between -1e100 and 1e100")
    return value


def _checked_sequence(number: int) -> int:
    if not 0 <= number <= NUMBER_MOST:
        raise Unreadable("invalid", "Sequence number is not between 0 and 2**63 - 1")
    return number


def _checked_key(found: object) -> str:
    if isinstance(found, int) and not -NUMBER_MOST <= found <= NUMBER_MOST:
        raise Unreadable("invalid", "Key is a number beyond 2**63")
    key = str(found)
    if not 1 <= len(key) <= KEY_CHARACTERS_MOST:
        raise Unreadable("invalid", f"Key has {len(key)} characters, 1 to {KEY_CHARACTERS_MOST} are allowed")
    return key


def _decode_number(payload: Payload) -> float:
    """A decimal number as devices print it: float() of ASCII text, without its underscores."""
    if len(payload) > _NUMBER_BYTES_MOST:
        raise msgspec.DecodeError(f"{len(payload)} bytes are no number, {_NUMBER_BYTES_MOST} are the most")
    data = bytes(payload)
    if b"_" in data:
        raise msgspec.DecodeError("Not a number")
    try:
        return float(data)
    except ValueError:
        raise msgspec.DecodeError("Not a number") from None


def _fields(spec: RuleSpec) -> dict[str, str]:
    """Purpose to path, of all fields a rule reads."""
    found: dict[str, Field | TimestampField | str | None] = {
        "key": spec.key,
        "value": spec.value,
        "timestamp": spec.timestamp,
        "sequence": spec.sequence,
    }
    return {name: field.path for name, field in found.items() if isinstance(field, Field | TimestampField)}


def _check_fields(rule: str, spec: RuleSpec, fields: dict[str, str]) -> None:
    if spec.decode == "json" and spec.value is None:
        raise InvalidResource(
            "compile rule", rule, "spec.value is missing", "With decode: json, spec.value.path says where the number is"
        )
    if spec.decode == "number" and fields:
        raise InvalidResource(
            "compile rule",
            rule,
            f"spec.{next(iter(fields))} has a path, but with decode: number the payload is the value and nothing else",
            "Use decode: json, or leave the path out",
        )


_Tree = dict[str, "str | _Tree"]
"""Member name to the purpose of its field, or to the members below."""


def _tree(rule: str, fields: dict[str, str]) -> tuple[_Tree, dict[str, str]]:
    """The members to decode, and for each purpose the attribute path to it in the struct that `_struct` makes."""
    tree: _Tree = {}
    where: dict[str, str] = {}
    for name, path in fields.items():
        node = tree
        *parents, leaf = path.split(".")
        place = ""
        for part in parents:
            below = node.setdefault(part, {})
            if isinstance(below, str):
                raise _overlap(rule, name, below, path)
            place += f"part{list(node).index(part)}."
            node = below
        taken = node.setdefault(leaf, name)
        if taken != name:
            raise _overlap(rule, name, taken if isinstance(taken, str) else "field", path)
        where[name] = place + name
    return tree, where


def _overlap(rule: str, name: str, other: str, path: str) -> InvalidResource:
    return InvalidResource(
        "compile rule", rule, f"spec.{name}.path {path!r} and the path of its {other} overlap", "Each needs its own"
    )


def _struct(tree: _Tree, types: dict[str, object]) -> type[msgspec.Struct]:
    """A struct of only the wanted members. Other members are skipped without being made into objects."""
    fields: list[tuple[str, type]] = []
    rename: dict[str, str] = {}
    for index, (member, below) in enumerate(tree.items()):
        name = below if isinstance(below, str) else f"part{index}"
        kind = types[below] if isinstance(below, str) else _struct(below, types)
        fields.append((name, cast("type", kind)))
        rename[name] = member
    return msgspec.defstruct("Payload", fields, gc=False, rename=rename)
