"""What operators, programs and a node say to each other of the list of streams (`stream_desk`)."""

import msgspec

from littoral.core.resources.model import BudgetPolicy

LIST = "/v1/stream-list"
VIEW = "/v1/stream-view/"


class StreamEntry(msgspec.Struct, frozen=True):
    """A stream, for a program."""

    name: str
    lane: str
    content_type: str
    first: int
    next: int
    bytes: int
    closed: bool
    reach: str
    via: str
    """The neighbour it comes from; empty for a stream of this node's own."""


class StreamEntries(msgspec.Struct, frozen=True):
    """A part of the list, for a program."""

    streams: list[StreamEntry]
    found: int
    """How many there are of what was asked for."""

    @property
    def next_page(self) -> str | None:
        """What to ask for with `after`, where the list is in the order of names; None at its end."""
        return self.streams[-1].name if len(self.streams) < self.found else None


class StreamRow(StreamEntry, frozen=True, kw_only=True):
    """A stream, for a person."""

    budget_bytes: int
    """What it may hold here."""
    policy: BudgetPolicy
    """What happens at the end of that."""
    spilled_to: int
    """Up to which offset its records are in the second place for them; 0 where none is."""
    retention_ms: int | None
    """How old its records may become; None where they may be of any age."""
    created_ms: int
    ttl_s: int | None
    expires_at: str | None
    forked_from: str | None
    """The stream whose first records it shares: "?" where that was deleted."""
    forks: int
    """Streams that were forked from it."""
    oldest_ms: int | None
    """When the oldest record that is held was appended, ms since the epoch."""
    records_s: float
    """Appended in a second, over the last minute."""
    bytes_s: float
    """Of their payloads, as they are stored."""
    problem: str = ""
    """Why its records cannot be read, if so."""


class StreamPage(msgspec.Struct, frozen=True):
    """A part of the list."""

    streams: list[StreamRow]
    found: int
    """How many there are of what was asked for."""
    total: int
    """Streams of the node."""
    bytes: int
    """Of all that were found."""
    now_ms: int
    """The node's clock, ms since the epoch."""


class RecordView(msgspec.Struct, frozen=True):
    """A record, for a person."""

    offset: int
    at_ms: int
    """When its batch was appended, ms since the epoch by the clock of its origin."""
    size: int
    head: bytes
    """Its first bytes."""


class StreamView(msgspec.Struct, frozen=True):
    """The end of a stream, or what came before a place in it."""

    stream: StreamRow
    records: list[RecordView]
    """In order."""
    now_ms: int
