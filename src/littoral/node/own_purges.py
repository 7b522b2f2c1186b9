"""What the gateways of a node have to know of purges before they take an answer of the parent node's: the parent may not have
heard of them, or not yet.

the parent's own    up to where they are done here: the parent's gateway says whether it knows as many
this node's own     ordered here, and so unknown to the parent: what it fetched before one of them is not taken
"""

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError
from littoral.core.names import StreamName
from littoral.fleet.purges import PURGES, PurgeFold
from littoral.gateway.cache.purge import Purge, decode_purge
from littoral.node.purge_messages import BeforeParent
from littoral.store.database import STORAGE_ERRORS
from littoral.store.store import Store
from littoral.wire.relay import PurgesKnown

REMEMBERED_MOST = 1000
REMEMBERED_BYTES = 256 * 1024
"""Of the values of these: they go into one frame."""
READ_BYTES = 512 * 1024


class OwnPurges:
    """Those of one node, for its hub."""

    def __init__(self, store: Store, parent: str, clock: Clock) -> None:
        """parent: its name."""
        self._store = store
        self._clock = clock
        self._name = StreamName(store.node, PURGES)
        self._above = StreamName(parent, PURGES)
        self._kept: deque[Purge] | None = None
        """None until somebody asks."""
        self._kept_bytes = 0
        self._before_ms = 0

    def all(self) -> BeforeParent:
        """For a gateway that connects."""
        if self._kept is None:
            self._kept = deque()
            self._load()
        return BeforeParent(self._known(), list(self._kept), True, self._before_ms, self._clock.wall_ms())

    def new(self, purges: Iterable[Purge]) -> BeforeParent:
        """For all gateways: purges that have just come into the node's stream."""
        own = list(self._own(purges, self._clock.wall_ms()))
        for purge in own if self._kept is not None else ():
            self._keep(purge)
        return BeforeParent(self._known(), own, False, 0, self._clock.wall_ms())

    def _known(self) -> PurgesKnown:
        info = self._store.stream(self._above)
        if info is None:
            return PurgesKnown()
        return PurgesKnown(info.lineage, self._store.fold_offset(PurgeFold.name, self._above))

    def _load(self) -> None:
        """What the stream still holds."""
        info = self._store.stream(self._name)
        if info is None:
            return
        at = info.first
        # What is gone came before the first that is left; where none is, nobody knows when.
        self._before_ms = self._clock.wall_ms() if at > 0 else 0
        try:
            while at < info.next:
                for batch in self._store.read(self._name, at, READ_BYTES):
                    if at == info.first:
                        self._before_ms = min(self._before_ms, batch.appended_ms)
                    records = map(decode_purge, batch.records()[at - batch.first :])
                    for purge in self._own(records, batch.appended_ms):
                        self._keep(purge)
                    at = batch.next
        except (LittoralError, *STORAGE_ERRORS):
            self._before_ms = self._clock.wall_ms()

    def _own(self, purges: Iterable[Purge], at_ms: int) -> Iterator[Purge]:
        """Those that were ordered here, or nobody knows where. at_ms: when they came, for those that do not say."""
        for purge in purges:
            if purge.node in ("", self._store.node):
                yield purge if purge.at_ms else msgspec.structs.replace(purge, at_ms=at_ms)

    def _keep(self, purge: Purge) -> None:
        assert self._kept is not None
        self._kept.append(purge)
        self._kept_bytes += len(purge.value) + len(purge.app)
        while len(self._kept) > REMEMBERED_MOST or self._kept_bytes > REMEMBERED_BYTES:
            gone = self._kept.popleft()
            self._kept_bytes -= len(gone.value) + len(gone.app)
            self._before_ms = max(self._before_ms, gone.at_ms)
