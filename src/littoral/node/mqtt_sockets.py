"""The further sockets of a node's MQTT broker: what they are called, and what those with TLS show."""

import socket
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from littoral.core.resources.mqtt import Mqtt, MqttListener
from littoral.drivers.listeners import adopt_listener, listen_tcp
from littoral.node.handover import name_and_address, named_socket

if TYPE_CHECKING:
    from littoral.node.listener_certificates import ListenerCertificates

_PREFIX = "mqtt-"

Place = tuple[str, int]
"""Where a listener is: its address in the document, and the how manieth with this address it is (port 0 may stand there twice)."""
Tell = Callable[[str, socket.socket | None], None]
"""Gives the supervisor a socket, by its name; None: it is not needed any more. Raises OSError."""


def listener_names(config: Mqtt) -> Mapping[str, MqttListener]:
    """As the socket of `listen.mqtt` is called "mqtt" between the node's processes."""
    return {f"{_PREFIX}{index}": each for index, each in enumerate(config.listeners)}


def listener_places(listeners: Iterable[MqttListener]) -> dict[Place, MqttListener]:
    """Each with its place."""
    found: dict[Place, MqttListener] = {}
    for each in listeners:
        found[next((each.address, nth) for nth in count() if (each.address, nth) not in found)] = each
    return found


class MqttSockets:
    """Those that a hub has: inherited, or bound since."""

    def __init__(self, descriptors: Mapping[str, int], config: Mqtt, tell: Tell | None) -> None:
        """descriptors: all that were inherited, by name. config: that the node was started with. tell: None where there is no
        supervisor, and sockets end with this process."""
        self._tell = tell
        self._by_place: dict[Place, tuple[str, socket.socket]] = {}
        started = {f"{_PREFIX}{index}": place for index, place in enumerate(listener_places(config.listeners))}
        for named, descriptor in descriptors.items():
            name, address = name_and_address(named)
            place = started.get(name) if address is None else self._free(address)
            if place is not None:
                self._by_place[place] = named, adopt_listener(descriptor)

    def _free(self, address: str) -> Place:
        return next((address, nth) for nth in count() if (address, nth) not in self._by_place)

    def places(self) -> list[Place]:
        """Of those that there are."""
        return list(self._by_place)

    def addresses(self) -> dict[str, str]:
        """Listener -> "host:port", as the supervisor tells those of the node's start."""
        found = {}
        for named, listening in self._by_place.values():
            host, port = listening.getsockname()[:2]
            found[name_and_address(named)[0]] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return found

    def take(self, place: Place) -> socket.socket:
        """The socket of a place, which is bound if there was none. It stays this object's: who accepts on it takes a duplicate.
        Raises StartupError, OSError."""
        known = self._by_place.get(place)
        if known is not None:
            return known[1]
        listening = listen_tcp(place[0])
        used = {name_and_address(named)[0] for named, _ in self._by_place.values()}
        name = next(name for name in (f"{_PREFIX}{number}" for number in count()) if name not in used)
        named = named_socket(name, place[0])
        if self._tell is not None:
            try:
                self._tell(named, listening)
            except OSError:
                listening.close()
                raise
        self._by_place[place] = named, listening
        return listening

    def give_up(self, place: Place) -> None:
        """Listen there no more; who connects from now on is refused."""
        named, listening = self._by_place.pop(place)
        # Closing is not enough: the supervisor has a descriptor of it, too, until it hears of this.
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        if self._tell is not None:
            self._tell(named, None)


def certificates_of(listener: MqttListener) -> "ListenerCertificates | None":
    """What it shows, and which certificates it takes; None for no TLS. Raises StartupError, InvalidInput."""
    if not listener.certificates:
        return None
    # Loaded where there is TLS.
    from littoral.drivers.web_certificates import ClientTrust  # noqa: PLC0415
    from littoral.node.listener_certificates import ListenerCertificates  # noqa: PLC0415
    from littoral.node.revocation_files import RevocationFiles  # noqa: PLC0415

    clients = listener.client_certificates
    return ListenerCertificates(
        listener.certificates,
        listener.minimum,
        protocols=["mqtt"] if listener.web_socket is None else ["http/1.1"],
        clients=None if clients is None else ClientTrust(Path(clients.ca), required=clients.required),
        revocation=RevocationFiles(clients.revocation_lists) if clients and clients.revocation_lists else None,
    )
