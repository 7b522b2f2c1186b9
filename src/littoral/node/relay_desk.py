"""What gateways are told of those of the nodes above and below: where the parent's are, and which children may ask here."""

from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from littoral.core.resources.model import Parent
from littoral.node.gateway_config import GatewayConfig, IdentityFiles, ParentRelay
from littoral.node.relay_children import key_digest
from littoral.security.enrolment import ChildRecord
from littoral.security.identity import CA_PATH, CERTIFICATE_PATH, KEY_PATH

HTTPS_PORT = 443


class RelayDesk:
    """That of one node, for its hub."""

    def __init__(
        self,
        node: str,
        data_dir: Path,
        parent: str | None,
        place: Parent | None,
        port: Callable[[], int],
        children: Callable[[], Iterable[ChildRecord]],
    ) -> None:
        """parent, place: its name, and what this node's document says of it. port: of the parent's relay, as that says itself; 0
        for none. children: those that may ask here; none where this node has no relay."""
        self._node = node
        self._parent = parent
        self._place = place
        self._port = port
        self._children = children
        self._files = IdentityFiles(*(str(data_dir / path) for path in (CA_PATH, CERTIFICATE_PATH, KEY_PATH)))

    def complete(self, config: GatewayConfig) -> GatewayConfig:
        """The configuration with that."""
        children = {child.node: key_digest(child.public_key) for child in self._children()}
        return msgspec.structs.replace(
            config, node=self._node, identity=self._files, parent=self._relay(), children=children
        )

    def _relay(self) -> ParentRelay | None:
        place, port = self._place, self._port()
        if place is None or self._parent is None or not (place.relay_url or port):
            return None
        parts = urlsplit(place.relay_url or place.url)
        return ParentRelay(self._parent, parts.hostname or "", (parts.port or HTTPS_PORT) if place.relay_url else port)
