"""`kind: Rule`."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from littoral.core.lanes import Lane
from littoral.core.resources.part import Duration, Metadata, Name, Part, Placement

StreamPath = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._~-]*(/[A-Za-z0-9_][A-Za-z0-9._~-]*)*$")]


class MqttSource(Part, frozen=True):
    """Messages of this node's broker."""

    topic: Annotated[str, Meta(min_length=1, max_length=1024, description="A topic filter; + and # allowed")]


class RuleSource(Part, frozen=True):
    """Where a rule's readings come from."""

    mqtt: MqttSource


class Field(Part, frozen=True):
    """A place in a decoded JSON payload."""

    path: Annotated[str, Meta(pattern=r"^[^.\s]+(\.[^.\s]+)*$", description='Member names joined with "."')]


class TimestampField(Part, frozen=True):
    """Where a reading's time is."""

    path: Annotated[str, Meta(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]
    unit: Literal["s", "ms", "rfc3339"] = "s"
    """s and ms count since the Unix epoch."""


class Window(Part, frozen=True):
    """Tumbling windows in event time, aligned to the epoch."""

    tumbling: Duration
    allowed_lateness: Duration = "0s"
    """A window is emitted when a reading of its key is this much later than the window's end."""


Aggregate = Literal["count", "min", "max", "mean", "stddev", "first", "last"]


class ZScore(Part, frozen=True):
    """Rolling z-score: a reading against the preceding ones of its key, itself excluded."""

    window: Annotated[int, Meta(ge=2, le=100_000, description="Preceding readings looked at")] = 100
    threshold: Annotated[float, Meta(gt=0)] = 3.0
    minimum: Annotated[int, Meta(ge=2, description="Readings needed before any is judged")] = 10


class Detect(Part, frozen=True):
    """What counts as an anomaly."""

    zscore: ZScore


class StreamSink(Part, frozen=True):
    """Append to a stream of this node."""

    name: StreamPath
    lane: Lane = "telemetry"


class MqttSink(Part, frozen=True):
    """Publish at this node's broker: at most once, after the commit; not at all if the process is killed between."""

    topic: Annotated[str, Meta(min_length=1, max_length=1024, description="{key} and {rule} are filled in")]


class KvSink(Part, frozen=True):
    """Write into a key-value namespace."""

    namespace: Name
    key: Annotated[str, Meta(min_length=1, max_length=512, description="{key} and {rule} are filled in")]


class Sink(Part, frozen=True):
    """One of the three."""

    stream: StreamSink | UnsetType = UNSET
    mqtt: MqttSink | UnsetType = UNSET
    kv: KvSink | UnsetType = UNSET


class RuleSpec(Part, frozen=True):
    """From readings to windows and alerts."""

    source: RuleSource
    placement: Placement = Placement()
    decode: Literal["json", "number"] = "json"
    key: Field | Literal["topic"] = "topic"
    value: Field | None = None
    """For json: where the number is. For number: not allowed, the payload is it."""
    timestamp: TimestampField | Literal["arrival"] = "arrival"
    sequence: Field | None = None
    """A number the device gives its readings; one that was seen already is a duplicate and is not counted again. Without
    it, a reading that the device sends again (QoS 1: when it heard no answer) is counted twice."""
    window: Window | None = None
    aggregates: list[Aggregate] = msgspec.field(default_factory=lambda: ["count", "min", "max", "mean"])
    detect: Detect | None = None
    windows: list[Sink] = []
    """Where finished windows go."""
    alerts: list[Sink] = []
    """Where anomalies go."""


class Rule(Struct, tag_field="kind", tag="Rule", forbid_unknown_fields=True, rename="camel", frozen=True, kw_only=True):
    """What a node makes of its readings."""

    api_version: Literal["littoral/v1"]
    metadata: Metadata
    spec: RuleSpec
