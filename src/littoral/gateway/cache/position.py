"""How far what is stored has come with the node's purges."""

from collections.abc import Sequence

import msgspec

from littoral.gateway.cache.purge import EVERYTHING, Purge


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Up to where a node's purges are known."""

    log: str
    """Which history the offset belongs to; empty while there is none."""
    next: int


def is_put_back(known: Position | None, until: Position) -> bool:
    """Whether the history is shorter than it was."""
    return known is not None and known.log == until.log and known.next > until.next


def outstanding(
    reached: Position | None, purges: Sequence[Purge], until: Position, known: Position | None
) -> Sequence[Purge]:
    """What is still to be done of the purges up to `until` that a gateway was told, in a place that several gateways share and
    that has come as far as `reached`; None: nobody knows how far. known: how far the gateway had come that was told.

    In doubt everything: where the place has not come as far as the first of the purges, and where the history is another one,
    or was put back."""
    if reached is None or reached.log not in (until.log, "") or is_put_back(known, until):
        return [EVERYTHING]
    first = until.next - len(purges)
    if reached.next >= until.next:
        return []
    return purges[reached.next - first :] if reached.next >= first else [EVERYTHING]
