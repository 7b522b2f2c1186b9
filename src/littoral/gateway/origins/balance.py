"""Which of several targets a request goes to. All that is given may be used.

round-robin      smooth, as nginx has it: each is given its weight, the richest pays all of it. No target of a large weight
                 gets its requests in a row
least-request    of two drawn by weight, the one that does less for its weight (M. Mitzenmacher, "The Power of Two Choices
                 in Randomized Load Balancing", 2001)
consistent-hash  rendezvous by weight (D. G. Thaler, C. V. Ravishankar, 1998; weights: J. Resch, 2015), with bounded loads
                 (V. Mirrokni, M. Thorup, M. Zadimoghaddam, 2018): whoever is left out moves only what was its own
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import ceil, log

from littoral.core.random import Random
from littoral.gateway.origins.member import Member

_64_BITS = (1 << 64) - 1


def in_turns(members: Sequence[Member]) -> Member:
    """Round-robin."""
    total = 0
    best = members[0]
    for each in members:
        each.turn += each.weight
        total += each.weight
        if each.turn > best.turn:
            best = each
    best.turn -= total
    return best


def least_loaded(members: Sequence[Member], random: Random) -> Member:
    """Of two."""
    one = _drawn(members, random)
    other = _drawn([each for each in members if each is not one], random)
    return other if (other.inflight + 1) * one.weight < (one.inflight + 1) * other.weight else one


def _drawn(members: Sequence[Member], random: Random) -> Member:
    at = random.uniform(0, sum(each.weight for each in members))
    for each in members:
        at -= each.weight
        if at < 0:
            return each
    return members[-1]


def by_hash(members: Sequence[Member], key: str, load_bound: float) -> Member:
    """The same for the same key, as long as it has not too much to do."""
    drawn = int.from_bytes(blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest())
    scores = [_score(each, drawn) for each in members]
    under_way, total = 1, 0
    for each in members:
        under_way += each.inflight
        total += each.weight
    share = load_bound * under_way / total
    best = members[scores.index(max(scores))]
    if best.inflight < ceil(share * best.weight):
        return best
    ranked = sorted(zip(scores, members, strict=True), key=lambda pair: pair[0], reverse=True)
    return next((each for _, each in ranked if each.inflight < ceil(share * each.weight)), best)


def _score(member: Member, drawn: int) -> float:
    """The key is hashed once; for each member it is mixed with what tells that from the others (a finalizer as in SplitMix64)."""
    mixed = ((drawn ^ member.salt) * 0xBF58476D1CE4E5B9) & _64_BITS
    mixed = ((mixed ^ (mixed >> 32)) * 0x94D049BB133111EB) & _64_BITS
    return -member.weight / log((((mixed ^ (mixed >> 31)) >> 12) + 0.5) / (1 << 52))
