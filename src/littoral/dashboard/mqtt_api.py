"""The MQTT brokers of all nodes: of this one, and of those below by way of their inboxes."""

from collections.abc import Collection

import msgspec

from littoral.dashboard.hub_api import HubApi
from littoral.node.mqtt_messages import CLIENTS, KICK, TOPICS, Kicked, KickOrder, MqttClients, TopicPage

OPEN_CHARACTERS = 3000
"""Of the names of unfolded branches: they stand in the address of a request."""


class MqttApi:
    """Raises everywhere: PeerUnreachable, Unavailable, and what the hub or the node answers."""

    def __init__(self, hub: HubApi, here: str) -> None:
        """here: the node whose hub is asked."""
        self._hub = hub
        self.here = here

    async def clients(self, node: str, text: str, state: str, skip: int, limit: int) -> MqttClients:
        """Some clients and waiting sessions, and what there is of all. state: of STATES."""
        query = {"skip": str(skip), "limit": str(limit), "text": text, "state": state}
        return await self._hub.ask(MqttClients, "GET", CLIENTS, query, self._at(node))

    async def tree(self, node: str, unfolded: Collection[str], limit: int) -> TopicPage:
        """The first level of the topics, and each level below one of `unfolded`."""
        query = {"open": "\n".join(unfolded), "limit": str(limit)}
        return await self._hub.ask(TopicPage, "GET", TOPICS, query, self._at(node))

    async def topics(self, node: str, text: str, limit: int) -> TopicPage:
        """Topics that contain the text."""
        query = {"text": text, "limit": str(limit)}
        return await self._hub.ask(TopicPage, "GET", TOPICS, query, self._at(node))

    async def kick(self, node: str, client: str) -> None:
        """End a client's connection."""
        await self._hub.ask(Kicked, "POST", KICK, {}, self._at(node), msgspec.json.encode(KickOrder(client)))

    def _at(self, node: str) -> str:
        return "" if node == self.here else node
