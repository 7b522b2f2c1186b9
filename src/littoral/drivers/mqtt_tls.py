"""Clients of the MQTT broker that speak TLS."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from littoral.core.limit import Limit
from littoral.core.mqtt_limits import MQTT_CONNECT_S
from littoral.drivers.mqtt import MqttClient, MqttListener
from littoral.drivers.web_handshake import TlsAcceptor, TlsTerms
from littoral.drivers.web_host import Refused, Ticked
from littoral.security.certificate_user import certificate_subject
from littoral.security.revocation import CertificateMark

_SHUTDOWN_S = 2.0
"""In which a client has to say that it has ended, too; its MQTT has ended already."""

MakeClient = Callable[[MqttListener, str | None], MqttClient]


class MqttTls:
    """Handshakes on one listening socket; who has made one becomes a client of the listener. Implements `HandshakeHost`."""

    def __init__(
        self,
        listening: socket.socket,
        listener: MqttListener,
        context: Callable[[], ssl.SSLContext],
        client: MakeClient,
        user_of: Callable[[bytes], str | None],
        name: str = "",
        refuses: Callable[[CertificateMark], bool] | None = None,
    ) -> None:
        """listening: is closed with this. context: asked at each handshake. client: makes what carries each client, by the user that
        its certificate names. user_of: says who that is, of a certificate in DER. name: see Arrival.listener. refuses: says whether a
        certificate is revoked; None: none ever is."""
        self._refuses = refuses
        self._listener = listener
        self._client = client
        self._user_of = user_of
        self._handshakes: set[Ticked] = set()
        """Those under way: they are connections as any other."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._name = name
        self._rate = listener.rate()
        terms = TlsTerms(context, listener.limits[MQTT_CONNECT_S], _SHUTDOWN_S, self._admit)
        self._acceptor = TlsAcceptor(listening, self, terms)

    async def _admit(self, address: str) -> bool:
        """Before its handshake: that is what costs most of a connection."""
        wait_s = self._rate.wait_s(address)
        if wait_s is None:
            self._listener.broker.counters.refused += 1
            return False
        await asyncio.sleep(wait_s)
        return True

    def close(self) -> None:
        """Accept no more, and end the handshakes that are under way."""
        self._acceptor.close()
        for task in tuple(self._tasks):
            task.cancel()

    def opened(self, connection: Ticked) -> bool:
        """See HandshakeHost."""
        self._handshakes.add(connection)
        return self._listener.opened()

    def closed(self, connection: Ticked) -> None:
        """See HandshakeHost."""
        if connection in self._handshakes:
            self._handshakes.remove(connection)
            self._listener.closed()

    def agreed(self, connection: Ticked, transport: asyncio.Transport) -> None:
        """See HandshakeHost."""
        self.closed(connection)
        shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        try:
            user, subject = (self._user_of(shown), certificate_subject(shown)) if shown else (None, "")
            mark = CertificateMark.of(shown) if shown and self._refuses is not None else None
        except ValueError:
            # Its CA has signed it, and OpenSSL has read it: what it says in a part that only we look at is malformed.
            self.refused("malformed")
            transport.abort()
            return
        if mark is not None and self._refuses is not None and self._refuses(mark):
            self.refused("malformed")
            transport.abort()
            return
        client = self._client(self._listener, user)
        client.came_to, client.subject, client.mark = self._name, subject, mark
        transport.set_protocol(client)
        client.connection_made(transport)

    def run(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """See HandshakeHost."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        return task

    def ran(self, task: "asyncio.Task[None]") -> None:
        """See HandshakeHost."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a TLS handshake failed unexpectedly", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def refused(self, why: Refused, limit: Limit | None = None) -> None:
        """See HandshakeHost."""
        self._listener.broker.counters.refused += 1
