"""What a node's hub, its gateways and people tell each other of purges, and of what is cached. Apart from what does the work: a
gateway has no store."""

from typing import Literal

import msgspec

from littoral.gateway.cache.position import Position
from littoral.gateway.cache.purge import Purge
from littoral.wire.relay import PurgesKnown


class BeforeParent(msgspec.Struct, frozen=True, array_like=True):
    """What there is to know of purges before an answer of the parent node's is taken (`own_purges`)."""

    known: PurgesKnown
    """Of those of the parent's."""
    own: list[Purge]
    """Ordered at this node, in order. `at_ms` says when each was ordered."""
    is_all: bool
    """Whether these are all that are remembered; else those that have come since."""
    before_ms: int
    """With all: there were others until then."""
    now_ms: int
    """By the same clock."""


class Told(msgspec.Struct, frozen=True, array_like=True):
    """Purges that a gateway has not heard of, in order."""

    purges: list[Purge]
    until: Position
    """Up to where the stream is known then."""
    before_parent: BeforeParent | None = None
    """What there is to know before the parent is asked; None where there is none."""


class CachedObject(msgspec.Struct, frozen=True):
    """What a gateway holds, for people."""

    url: str
    key: list[str]
    """What else belongs to its key: fields, cookies, kinds of devices."""
    variant: dict[str, str | None]
    """The fields of the request by which it varies; None for one that was absent."""
    status: int
    age_s: int
    ttl_s: int | None
    """Negative where it is stale; None where it is not to be given without the origin's word, as after a soft purge."""
    bytes: int
    hits: int
    tags: list[str]
    tier: Literal["memory", "disk"] = "memory"


class PurgeOutcome(msgspec.Struct, frozen=True):
    """What came of a purge at the node that was asked."""

    number: int
    """Its offset in the node's stream `purges`."""
    gateways: int
    """That have confirmed it."""
    objects: int
    """That it was meant for, in all of these together."""
    unconfirmed: int
    """Gateways that have not confirmed it in time. They do it before they hear of anything else."""
