"""A connection of a bridge to another MQTT broker: TCP, or TLS."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Protocol, cast

from msgspec import Struct

from littoral.core.errors import LittoralError, Unavailable
from littoral.drivers.origin_connect import addresses_of, connected
from littoral.iot.bridge import Bridge

_HIGH_WATER_BYTES = 64 * 1024
"""How much the transport may hold; beyond it, messages wait in the bridge's session."""
PASSWORD_BYTES_MOST = 4096
TICK_S = 1.0


class MqttTls(Struct, frozen=True):
    """How to speak TLS; see MqttBridgeTls."""

    ca: str | None
    certificate: str | None
    key: str | None
    server_name: str


class MakeBridge(Protocol):
    """Makes the bridge of a connection."""

    def __call__(self, way: "MqttClientConnection") -> Bridge:
        """way: not connected before this returns."""
        ...


class MqttClientConnection(asyncio.Protocol):
    """Implements `Way`."""

    def __init__(self, make: MakeBridge) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._tick: asyncio.TimerHandle | None = None
        self.bridge = make(self)

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        self._tick = self._loop.call_later(TICK_S, self._ticked)
        self.bridge.begin()

    def data_received(self, data: bytes) -> None:
        self.bridge.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._tick is not None:
            self._tick.cancel()
        self.bridge.lost(f" ({exc})" if exc is not None else "")

    def pause_writing(self) -> None:
        self.bridge.blocked(blocked=True)

    def resume_writing(self) -> None:
        self.bridge.blocked(blocked=False)

    def _ticked(self) -> None:
        self._tick = self._loop.call_later(TICK_S, self._ticked)
        self.bridge.tick()

    # --- Way

    def write(self, data: bytes) -> None:
        """See Way."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause(self) -> None:
        """See Way."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """See Way."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """See Way. What the other broker does not take any more is not waited for."""
        if self._transport is not None:
            self._transport.close()
            self._loop.call_later(TICK_S, self._abort)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def connect(
    subject: str, host: str, port: int, tls: MqttTls | None, timeout_s: float, make: MakeBridge
) -> MqttClientConnection:
    """A connection with its bridge, which has said CONNECT. subject: the bridge, for errors. Raises Unavailable."""
    try:
        async with asyncio.timeout(timeout_s):
            context = None if tls is None else await asyncio.to_thread(_context, tls)
            sock = await connected(await addresses_of(host, port))
            return await _begin(sock, context, tls, make)
    except (OSError, TimeoutError, ValueError) as error:
        # ValueError: of `ssl`, for a name or a file that it cannot make sense of.
        raise Unavailable("connect bridge", subject, *_reason(error, tls, timeout_s)) from error


async def _begin(
    sock: socket.socket, context: ssl.SSLContext | None, tls: MqttTls | None, make: MakeBridge
) -> MqttClientConnection:
    loop = asyncio.get_running_loop()
    name = tls.server_name if tls is not None else None
    try:
        _, protocol = await loop.create_connection(
            lambda: MqttClientConnection(make), sock=sock, ssl=context, server_hostname=name
        )
    except BaseException:
        sock.close()
        raise
    return protocol


def _context(tls: MqttTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate is not None:
        # A key that has a password is refused, and not asked for at the terminal.
        context.load_cert_chain(tls.certificate, tls.key, password="")
    return context


def _reason(error: Exception, tls: MqttTls | None, timeout_s: float) -> tuple[str, str]:
    """Cause and remedy."""
    found = ("", "")
    if isinstance(error, TimeoutError):
        found = f"no connection within {timeout_s:g} s", "Check that it runs, and that nothing filters its port"
    elif isinstance(error, ConnectionRefusedError):
        found = "connection refused", "Check that the other broker runs and listens there"
    elif isinstance(error, socket.gaierror):
        found = "the host name cannot be resolved", "Check the name and the DNS of this machine"
    elif isinstance(error, ssl.SSLCertVerificationError) and tls is not None:
        cause = f"its certificate is not trusted for {tls.server_name}: {error.verify_message}"
        found = cause, "Check `tls.ca` and `tls.serverName`"
    elif isinstance(error, ssl.SSLError):
        found = f"TLS failed ({error.reason or error})", "Check `tls`, and that TLS 1.2 or newer is spoken there"
    elif isinstance(error, FileNotFoundError | PermissionError):
        found = f"a file of `tls` cannot be read: {error.strerror}", "Check `tls.ca` and `tls.certificate`"
    elif isinstance(error, ValueError) and not isinstance(error, OSError):
        found = f"`tls` cannot be used ({error})", "Check `tls.serverName`"
    elif isinstance(error, ConnectionError):
        found = f"the connection was closed ({error})", "Check that what listens there speaks TLS, or MQTT without"
    return found if found[0] else (str(error) or type(error).__name__, "")


async def read_password(path: str, subject: str) -> bytes:
    """The first line of a file. Raises Unavailable."""
    try:
        data = await asyncio.to_thread(_first_bytes, Path(path))
    except OSError as error:
        cause = f"cannot read {path}: {error.strerror or error}"
        raise _password_error(subject, cause) from error
    line = data.splitlines()[0] if data else b""
    if not line or len(data) > PASSWORD_BYTES_MOST:
        raise _password_error(
            subject, f"{path} has no password in its first line, or more than {PASSWORD_BYTES_MOST} bytes"
        )
    return line


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(PASSWORD_BYTES_MOST + 1)


def _password_error(subject: str, cause: str) -> LittoralError:
    return Unavailable("connect bridge", subject, cause, "Check `passwordFile`; this user has to be able to read it")
