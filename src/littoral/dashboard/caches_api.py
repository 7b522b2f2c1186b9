"""The HTTP caches of all nodes: of this one, and of those below by way of their inboxes."""

import msgspec

from littoral.dashboard.hub_api import HubApi
from littoral.node.cache_api import PURGE_PATH, TOP_PATH, PurgeOrder, TopObjects
from littoral.node.purge_messages import PurgeOutcome


class CachesApi:
    """Raises everywhere: PeerUnreachable, Unavailable, and what the hub or the node answers."""

    def __init__(self, hub: HubApi, here: str) -> None:
        """here: the node whose hub is asked."""
        self._hub = hub
        self.here = here

    async def top(self, node: str, count: int) -> TopObjects:
        """What the node's gateways have given most often."""
        return await self._hub.ask(TopObjects, "GET", TOP_PATH, {"count": str(count)}, self._at(node))

    async def purge(self, node: str, order: PurgeOrder) -> PurgeOutcome:
        """Purge at the node and all nodes below it."""
        body = msgspec.json.encode(order)
        return await self._hub.ask(PurgeOutcome, "POST", PURGE_PATH, {}, self._at(node), body)

    def _at(self, node: str) -> str:
        return "" if node == self.here else node
