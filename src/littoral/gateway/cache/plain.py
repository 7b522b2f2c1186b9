"""Answers that say themselves that they are not stored, whoever asked, and whenever they come: what becomes of them follows from
their heads alone, and is worked out once for all that say the same."""

from typing import NamedTuple

from littoral.core.remembered import Remembered
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.forwarding import KEPT, for_client
from littoral.gateway.passing import whole_block
from littoral.wire.caching.cache_status import Forward, cache_status
from littoral.wire.caching.policy import CachePolicy
from littoral.wire.caching.storing import never_stored
from littoral.wire.http_fields import may_be_remembered

Head = tuple[tuple[tuple[str, str], ...], str, int, Forward]
"""Of an answer: its fields, the version of HTTP it came by, and its status; and why the origin was asked."""


class Plain(NamedTuple):
    """What clients are given of such an answer."""

    block: FieldBlock
    said: Fields
    """What the cache says of it."""
    has_age: bool
    """Whether the origin says how old it is."""


class PlainAnswers(Remembered[Head, Plain | None]):
    """By their heads; None for those that have to be judged. Of answers to GET whose requests have no `cache-control`."""

    def __init__(self, policy: CachePolicy) -> None:
        super().__init__(self._look, KEPT, lambda head: may_be_remembered(head[0]))
        self._policy = policy

    def _look(self, head: Head) -> Plain | None:
        fields, version, status, reason = head
        given = for_client(fields, version)
        why = never_stored(status, given, self._policy)
        if why is None:
            return None
        said = cache_status(self._policy.name, forward=reason, detail=why)
        return Plain(whole_block(given), (("cache-status", said),), any(name == "age" for name, _ in fields))
