"""The further sockets of a node's MQTT broker: what they are called, and what those with TLS show."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from littoral.core.resources.mqtt import Mqtt, MqttListener

if TYPE_CHECKING:
    from littoral.node.listener_certificates import ListenerCertificates

_PREFIX = "mqtt-"


def listener_names(config: Mqtt) -> Mapping[str, MqttListener]:
    """As the socket of `listen.mqtt` is called "mqtt" between the node's processes."""
    return {f"{_PREFIX}{index}": each for index, each in enumerate(config.listeners)}


def certificates_of(listener: MqttListener) -> "ListenerCertificates | None":
    """What it shows, and which certificates it takes; None for no TLS. Raises StartupError."""
    if not listener.certificates:
        return None
    # Loaded where there is TLS.
    from littoral.drivers.web_certificates import ClientTrust  # noqa: PLC0415
    from littoral.node.listener_certificates import ListenerCertificates  # noqa: PLC0415

    clients = listener.client_certificates
    return ListenerCertificates(
        listener.certificates,
        listener.minimum,
        protocols=["mqtt"] if listener.web_socket is None else ["http/1.1"],
        clients=None if clients is None else ClientTrust(Path(clients.ca), required=clients.required),
    )
