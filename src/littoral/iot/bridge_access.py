"""Who may do what at the broker, where some of its clients are bridges of the node's own."""

from collections.abc import Awaitable

from littoral.iot.access import Access, Client, Exchange, Verdict
from littoral.iot.bridge_names import is_bridge
from littoral.wire.mqtt import ReasonCode


class BridgeAccess:
    """An `Access` that knows bridges, and asks another one for all other clients.

    A bridge may publish and subscribe to anything: its topics stand in the node's document, as the rights of others do. Nobody else
    gets an identifier of a bridge's, and with it what waits in its session.
    """

    def __init__(self, others: Access, pass_word: str) -> None:
        """pass_word: what a bridge's connection is certified by (see Broker.connect). It is drawn by chance, so no certificate has
        it for a name."""
        self._others = others
        self._pass_word = pass_word

    def may_connect(self, client: Client, password: bytes | None) -> Verdict | Awaitable[Verdict]:
        """See Access.may_connect."""
        if is_bridge(client.client_id):
            return client.certified == self._pass_word
        return self._others.may_connect(client, password)

    def restricts(self, client: Client) -> bool:
        """See Access.restricts."""
        return not is_bridge(client.client_id) and self._others.restricts(client)

    def may_publish(self, client: Client, topic: str) -> bool:
        """See Access.may_publish."""
        return is_bridge(client.client_id) or self._others.may_publish(client, topic)

    def may_subscribe(self, client: Client, topic_filter: str) -> bool | ReasonCode:
        """See Access.may_subscribe."""
        return is_bridge(client.client_id) or self._others.may_subscribe(client, topic_filter)

    def exchange(self, client: Client, method: str) -> Exchange | None:
        """See Access.exchange."""
        return None if is_bridge(client.client_id) else self._others.exchange(client, method)
