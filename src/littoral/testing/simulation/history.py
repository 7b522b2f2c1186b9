"""What happened in a run: steps in order, each on the lane of a node, and messages between lanes.

The text of a history is the same for the same plan in every process: it holds no addresses, no real times, and nothing
in an order that a hash seed decides.
"""

import hashlib
from collections.abc import Iterator
from typing import Literal

import msgspec

StepKind = Literal[
    "work",  # a client asked for something, or was answered
    "fault",  # began; `until_s` says when it ends, where it lasts
    "healed",  # a fault ended
    "life",  # a node started, died, or joined
    "check",  # something was looked at; a violation is one too
    "violation",
]
TREE = "tree"
"""The lane of what concerns all nodes."""


class Step(msgspec.Struct, frozen=True, tag=True):
    """Something that happened at one place."""

    at_s: float
    """Virtual seconds since the run began."""
    lane: str
    """A node's name, or TREE."""
    kind: StepKind
    text: str
    event: int | None = None
    """The number of the planned event it belongs to."""
    until_s: float | None = None


class Message(msgspec.Struct, frozen=True, tag=True):
    """A request from one node to another, or its answer. Recorded only where a run is asked to."""

    at_s: float
    """When it was sent."""
    source: str
    target: str
    text: str
    """Such as "POST /v1/peer/batches 812 B"."""
    arrived_s: float | None = None
    """None: it never did."""
    fate: str = ""
    """Why not, or what else befell it: "lost", "refused", "reset", "duplicated", "held"; empty where all went well."""


Record = Step | Message


class History(msgspec.Struct):
    """Of one run. Records are in the order of the moments at which they were known."""

    lanes: list[str]
    """The nodes, from the root down."""
    records: list[Record] = []

    def steps(self) -> Iterator[Step]:
        """Without the messages."""
        return (record for record in self.records if isinstance(record, Step))

    def lines(self) -> Iterator[str]:
        """The event log: a line for each record."""
        for record in self.records:
            yield line_of(record)

    def digest(self) -> str:
        """SHA-256 of the event log, in hexadecimal."""
        log = hashlib.sha256()
        for line in self.lines():
            log.update(line.encode())
            log.update(b"\n")
        return log.hexdigest()


def line_of(record: Record) -> str:
    """One record as a line of the event log."""
    if isinstance(record, Step):
        until = "" if record.until_s is None else f" (until {record.until_s:.6f})"
        event = "" if record.event is None else f" #{record.event}"
        return f"{record.at_s:.6f} {record.lane} {record.kind}{event}: {record.text}{until}"
    arrived = "never" if record.arrived_s is None else f"{record.arrived_s:.6f}"
    fate = f" {record.fate}" if record.fate else ""
    return f"{record.at_s:.6f} {record.source} -> {record.target}: {record.text} (arrived {arrived}){fate}"
