"""What a store knows of a stream."""

from typing import Literal, NamedTuple

import msgspec

from littoral.core.lanes import Lane
from littoral.core.names import StreamName
from littoral.core.resources.model import BudgetPolicy

Reach = Literal["node", "link", "root"]
"""How far a stream travels: not at all, to the direct neighbours, or up to the root."""


class Span(NamedTuple):
    """Offsets [first, next)."""

    first: int
    next: int


class Fork(msgspec.Struct, frozen=True):
    """What a stream shares with the one it was forked from. Its own rows begin at `inherited`."""

    source: int
    """The row's number of that stream, which may have been deleted since."""
    inherited: int
    """Up to which offset the rows are the source's."""
    asked: str
    """What the request for it said, by which another one is recognised as the same."""


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as of one commit."""

    id: int
    """The row's number in this store; means nothing elsewhere."""
    name: StreamName
    lineage: str
    """The history its offsets belong to."""
    content_type: str
    lane: Lane
    first: int
    """The oldest offset still held."""
    next: int
    """The tail: the offset the next record will get."""
    chain: bytes
    """Chain hash at the tail."""
    bytes: int
    """Payload bytes in the store; without what a fork shares with its source, and without what was spilled."""
    created_ms: int
    closed: bool = False
    retention_bytes: int
    retention_ms: int | None = None
    ttl_s: int | None = None
    expires_at: str | None = None
    reach: Reach = "root"
    via: str = ""
    """The neighbour it is replicated from; empty for this node's own."""
    policy: BudgetPolicy = "drop-oldest"
    """What happens at the end of its budget, unless the node's document says (littoral.store.budgets)."""
    fork: Fork | None = None
    """What it shares with another stream, if it is a fork."""

    @property
    def count(self) -> int:
        """Records still held."""
        return self.next - self.first
