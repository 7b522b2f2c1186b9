"""How old a record may be and still be worth sending to the parent."""

from collections.abc import Callable

from littoral.core.lanes import LANES, Lane
from littoral.core.names import StreamName
from littoral.core.patterns import matches
from littoral.core.resources.model import Ttl
from littoral.core.resources.units import parse_duration_ms
from littoral.store.stream import StreamInfo

AT_ANY_AGE = frozenset(("desired", "inbox", "kv", "kv-down", "outbox"))
"""First parts of the paths of streams that state is folded from: whoever folds them needs every record."""


class SendTtl:
    """Of one link."""

    def __init__(self, document: Ttl, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._lanes: dict[Lane, int] = {
            lane: parse_duration_ms(text) for lane in LANES if (text := getattr(document, lane)) is not None
        }
        self._streams = [(entry.streams, parse_duration_ms(entry.ttl)) for entry in document.streams]

    def oldest_ms(self, info: StreamInfo) -> int | None:
        """What was appended before this moment is not sent any more; None where any age is."""
        if info.name.path.partition("/")[0] in AT_ANY_AGE:
            return None
        ttl_ms = self._of(info.name, info.lane)
        return None if ttl_ms is None else self._wall_ms() - ttl_ms

    def _of(self, name: StreamName, lane: Lane) -> int | None:
        for patterns, ttl_ms in self._streams:
            if matches(patterns, name):
                return ttl_ms
        return self._lanes.get(lane)
