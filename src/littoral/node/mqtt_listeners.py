"""The further listeners of a node's MQTT broker: TLS, client certificates, WebSocket."""

import socket
from collections.abc import Callable
from functools import partial

from littoral.core.resources import mqtt
from littoral.drivers.mqtt import MqttListener, PlainClient
from littoral.drivers.mqtt_tls import MakeClient, MqttTls
from littoral.drivers.mqtt_web_socket import WebSocketClient
from littoral.node.listener_certificates import ListenerCertificates
from littoral.node.mqtt_sockets import certificates_of
from littoral.security.certificate_user import certificate_user


async def serve(
    listener: mqtt.MqttListener, listening: socket.socket, broker: MqttListener
) -> ListenerCertificates | None:
    """Let clients in by one more socket. What is returned is to be kept (`ListenerCertificates.keep`). Raises StartupError."""
    make: MakeClient = PlainClient
    if listener.web_socket is not None:
        make = partial(WebSocketClient, path=listener.web_socket, origins=frozenset(listener.origins))
    certificates = certificates_of(listener)
    if certificates is None:
        await broker.start(listening, lambda server: make(server, None), listener.address)
    else:
        user_of = _user_of(listener)
        broker.add(MqttTls(listening, broker, certificates.shown.context, make, user_of, listener.address))
    return certificates


def _user_of(listener: mqtt.MqttListener) -> Callable[[bytes], str | None]:
    clients = listener.client_certificates
    return (lambda _: None) if clients is None else partial(certificate_user, named_by=clients.user)
