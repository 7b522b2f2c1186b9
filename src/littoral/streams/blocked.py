"""Why a stream is kept here: it is not sent, or its copy not brought up to date, until somebody does something about it."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from littoral.store.replica import Verdict

BlockedKind = Literal[
    "diverged", "corrupt", "refused", "forked", "another", "compared", "unproved", "damaged", "unreadable"
]
"""What is in the way.

- diverged: two histories of it. corrupt: a batch that is not what its checksum says. refused: the receiver does not take it.
- forked: of a restored store, a fork needs records in whose place the parent has others. another: it was deleted before the
  backup was made, and the parent has that one still. compared: what the parent has of it is being fetched back.
- unproved: the parent takes nothing of its origin before that has shown its key.
- damaged: a store cannot read it, this node's or the parent's. unreadable: what the parent sends of it cannot be used.
"""

NOT_TAKEN: Mapping[Verdict, BlockedKind] = {
    Verdict.DIVERGED: "diverged",
    Verdict.CORRUPT: "corrupt",
    Verdict.REFUSED: "refused",
}
"""After these a receiver is sent no more of the stream."""


class Blocked(msgspec.Struct, frozen=True):
    """One stream's."""

    kind: BlockedKind
    """For programs: what to do about it follows from this."""
    reason: str
    """For people: the same in words, with what and where."""
