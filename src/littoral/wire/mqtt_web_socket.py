"""MQTT over WebSocket, from the server's side (RFC 6455; section 6 of both versions of MQTT).

A frame of WebSocket says nothing to MQTT: packets begin and end anywhere in the frames' data [MQTT-6.0.0-2].
"""

from collections.abc import Collection
from typing import NamedTuple

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

SUBPROTOCOL = "mqtt"
_UNSUPPORTED_DATA = 1003
_PROTOCOL_ERROR = 1002
_GOING_AWAY = 1001
_BAD_REQUEST = b"HTTP/1.1 400 \r\ncontent-length: 0\r\n\r\n"


class Received(NamedTuple):
    """What bytes of a client come to."""

    data: bytes = b""
    """Of MQTT."""
    answer: bytes = b""
    """To be sent back as it is."""
    ended: bool = False
    """Nothing more is taken from the client."""


class MqttWebSocket:
    """One client's connection, from its request on."""

    def __init__(self, path: str, origins: Collection[str] = ()) -> None:
        """path: of the requests that are answered. origins: web sites whose pages may ask, besides those of the same host; "*"
        for all."""
        self._path = path
        self._origins = origins
        self._connection = WSConnection(ConnectionType.SERVER)
        self._is_open = False
        self._has_ended = False
        """Whether what comes is not looked at any more."""

    @property
    def is_open(self) -> bool:
        """Whether the request was answered, and nobody has said goodbye yet."""
        return self._is_open

    def receive(self, data: bytes) -> Received:
        """Take bytes from the client."""
        if self._has_ended:
            return Received(ended=True)
        data_parts: list[bytes] = []
        answers: list[bytes] = []
        ended = False
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                if isinstance(event, BytesMessage):
                    data_parts.append(bytes(event.data))
                    continue
                answer, ended = self._answer(event)
                answers.append(answer)
                if ended:
                    break
        except (RemoteProtocolError, UnicodeDecodeError) as error:
            ended = True
            answers.append(self._refusal(error))
        if ended:
            self._is_open, self._has_ended = False, True
        return Received(b"".join(data_parts), b"".join(answers), ended)

    def frame(self, data: bytes) -> bytes:
        """Bytes of MQTT for the client, as one binary message [MQTT-6.0.0-1]."""
        return self._connection.send(Message(data=data))

    def close(self, code: int = _GOING_AWAY) -> bytes:
        """The last bytes for the client; none if nothing is open."""
        if not self._is_open:
            return b""
        self._is_open = False
        return self._connection.send(CloseConnection(code=code))

    def _refusal(self, error: RemoteProtocolError | UnicodeDecodeError) -> bytes:
        """The last bytes for who breaks the protocol."""
        if self._is_open:
            return self.close(_PROTOCOL_ERROR)
        if isinstance(error, UnicodeDecodeError):
            return _BAD_REQUEST  # Header fields that are no text: wsproto decodes them without a look.
        return b"" if error.event_hint is None else self._connection.send(error.event_hint)

    def _answer(self, event: Event) -> tuple[bytes, bool]:
        """What is sent for an event, and whether it was the last one."""
        if isinstance(event, Request):
            return self._judge(event)
        if isinstance(event, Ping) and not self._is_open:
            return b"", False  # We have said goodbye: nothing may follow (RFC 6455, section 5.5.1).
        if isinstance(event, Ping):
            return self._connection.send(event.response()), False
        if isinstance(event, TextMessage):
            return self.close(_UNSUPPORTED_DATA), True
        if isinstance(event, CloseConnection):
            try:
                return self._connection.send(event.response()), True
            except LocalProtocolError:
                return b"", True
        return b"", False

    def _judge(self, request: Request) -> tuple[bytes, bool]:
        """Whether to speak MQTT with whoever asks [MQTT-6.0.0-3, MQTT-6.0.0-4]."""
        if request.target.partition("?")[0] != self._path:
            return self._connection.send(RejectConnection(status_code=404)), True
        if not self._is_welcome(request):
            return self._connection.send(RejectConnection(status_code=403)), True
        if SUBPROTOCOL not in request.subprotocols:
            return self._connection.send(RejectConnection(status_code=400)), True
        self._is_open = True
        return self._connection.send(AcceptConnection(subprotocol=SUBPROTOCOL)), False

    def _is_welcome(self, request: Request) -> bool:
        """Whether the page that asks may: a browser says whose it is, and what is none does not have to (RFC 6455, section
        10.2). Otherwise any page that somebody looks at could speak with a broker that only he can reach."""
        origin = next(
            (value.decode("latin-1") for name, value in request.extra_headers if name.lower() == b"origin"), None
        )
        if origin is None or "*" in self._origins or origin in self._origins:
            return True
        return origin.partition("://")[2] == request.host
