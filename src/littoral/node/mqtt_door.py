"""One socket by which clients of the MQTT broker come in: TLS, client certificates, WebSocket. Loaded where there is one that needs it."""

import socket
from collections.abc import Callable
from functools import partial

from littoral.core.resources import mqtt
from littoral.drivers.mqtt import Acceptor, MqttClient, MqttListener, PlainClient
from littoral.drivers.mqtt_tls import MakeClient, MqttTls
from littoral.drivers.mqtt_web_socket import WebSocketClient
from littoral.iot.broker import Broker
from littoral.iot.channel import Channel
from littoral.iot.endings import REVOKED
from littoral.node.listener_certificates import ListenerCertificates
from littoral.node.revocation_files import RevocationFiles
from littoral.security.certificate_user import certificate_user


async def serve(
    listener: mqtt.MqttListener,
    listening: socket.socket,
    broker: MqttListener,
    certificates: ListenerCertificates | None,
) -> Acceptor:
    """Let clients in by a socket, until what is returned is removed from the broker. certificates: see `certificates_of`; they are to be kept."""
    make: MakeClient = PlainClient
    if listener.web_socket is not None:
        make = partial(WebSocketClient, path=listener.web_socket, origins=frozenset(listener.origins))
    if certificates is None:
        return await broker.start(listening, lambda server: make(server, None), listener.address)
    revocation, shown = certificates.revocation, certificates.shown
    refuses = None if revocation is None else revocation.refuses
    tls = MqttTls(listening, broker, lambda: shown.context, make, _user_of(listener), listener.address, refuses)
    broker.add(tls)
    if revocation is not None:
        certificates.revoked = partial(_end_revoked, broker.broker, revocation)
    return tls


def _end_revoked(broker: Broker, revocation: RevocationFiles) -> None:
    """Close who came with a certificate that is revoked by now. What cannot be read revokes nothing: who is in stays."""

    def is_revoked(channel: Channel) -> bool:
        return isinstance(channel, MqttClient) and channel.mark is not None and revocation.has(channel.mark)

    broker.end(is_revoked, REVOKED, "its certificate was revoked")


def _user_of(listener: mqtt.MqttListener) -> Callable[[bytes], str | None]:
    clients = listener.client_certificates
    return (lambda _: None) if clients is None else partial(certificate_user, named_by=clients.user)
