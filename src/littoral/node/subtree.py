"""What a node and those below it are to its parent: who they are, and what is done about its answer."""

import asyncio
from collections.abc import Callable, Sequence

from littoral.core.resources import Namespace
from littoral.fleet.following import is_placed_among
from littoral.fleet.kv_parent import note_parent
from littoral.fleet.registry import Registry
from littoral.store.store import Store
from littoral.wire.peer import Member, Welcome


class Subtree:
    """Implements `littoral.streams.uplink.Subtree`."""

    def __init__(
        self,
        own: Member,
        store: Store,
        registry: Registry,
        namespaces: Callable[[str], Namespace | None],
        connected: Callable[[], Sequence[str]],
    ) -> None:
        """own: this node. namespaces: the desired namespace of a name, or None. connected: the children that are."""
        self._own = own
        self._store = store
        self._registry = registry
        self._namespaces = namespaces
        self._connected = connected
        self.relay_port = 0
        """Of the parent's relay; 0 where it has none, or has not been heard yet."""
        self.relay_changed: Callable[[], None] = lambda: None
        """Told when that is another one."""
        self.unproved = asyncio.Event()
        """Set while those above wait for this node to show its key."""

    def members(self) -> list[Member]:
        """See Subtree.members."""
        return self._registry.members(self._own)

    def is_away(self, node: str) -> bool:
        """See Subtree.is_away."""
        return self._registry.is_away(node)

    def refused(self) -> None:
        """See Subtree.refused. Who shows its key to all above is known again where it should be."""
        self.unproved.set()

    async def welcomed(self, welcome: Welcome) -> None:
        """See Subtree.welcomed. Raises LimitReached, StorageError."""
        if self._own.node in welcome.unproved:
            self.unproved.set()
        if welcome.relay_port != self.relay_port:
            self.relay_port = welcome.relay_port
            self.relay_changed()
        await self._registry.note_answer(welcome.elsewhere, welcome.unproved, self._connected())
        await note_parent(self._store, welcome.lineage, self._is_replicated)

    def _is_replicated(self, namespace: str) -> bool:
        """Whether the parent takes writes to a namespace from this node."""
        found = self._namespaces(namespace)
        return found is not None and found.spec.mode == "replicated" and is_placed_among(found, self.members())
