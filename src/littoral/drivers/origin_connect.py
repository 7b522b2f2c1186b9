"""From the name of an origin to a connection: addresses, TCP, TLS.

All addresses of a name are tried, one after the other; each gets a head start, and then the next is tried beside it (RFC 8305).
"""

import asyncio
import os
import socket
import ssl
from collections import deque
from itertools import zip_longest
from typing import NamedTuple, cast

from littoral.gateway.origins.transport import Endpoint, OriginFailed

HEAD_START_S = 0.25
"""RFC 8305, section 5."""

_SYSTEM = ""
"""The name of the system's CAs among files."""


class Address(NamedTuple):
    """One of a name."""

    family: int
    where: tuple[str, int] | tuple[str, int, int, int]


class TlsContexts:
    """What is trusted and shown, by files; read again when one of them has changed."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str, str, str], tuple[list[float], ssl.SSLContext]] = {}

    async def of(self, ca_file: str, certificate_file: str = "", key_file: str = "") -> ssl.SSLContext:
        """As `Endpoint` has them. Raises OSError (ssl.SSLError is one) for a file that cannot be used."""
        files = (ca_file, certificate_file, key_file)
        changed_s = [os.stat(file).st_mtime for file in files if file]
        known = self._contexts.get(files)
        if known is None or known[0] != changed_s:
            # The system's CAs take tens of milliseconds.
            context = await asyncio.get_running_loop().run_in_executor(None, _context, *files)
            known = self._contexts[files] = (changed_s, context)
        return known[1]


def _context(ca_file: str, certificate_file: str, key_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if certificate_file:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(certificate_file, key_file)
    return context


async def addresses_of(host: str, port: int) -> list[Address]:
    """Of both families in turns, the family that the system prefers first. Raises OSError."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [Address(family, (host, port) if family == socket.AF_INET else (host, port, 0, 0))]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(Address(int(family), cast("tuple[str, int]", where)) for family, *_, where in found))
    first = [each for each in addresses if each.family == addresses[0].family]
    second = [each for each in addresses if each.family != addresses[0].family]
    return [each for pair in zip_longest(first, second) for each in pair if each is not None]


async def connected(addresses: list[Address], head_start_s: float = HEAD_START_S) -> socket.socket:
    """A connection to whichever answers first. Raises OSError: what was said of the first address, if none does."""
    if len(addresses) == 1:
        return await _tried(addresses[0])
    waiting = deque(addresses)
    tries: set[asyncio.Task[socket.socket]] = set()
    errors: list[BaseException] = []
    try:
        while waiting or tries:
            if waiting:
                tries.add(asyncio.get_running_loop().create_task(_tried(waiting.popleft())))
            until_s = head_start_s if waiting else None
            done, _ = await asyncio.wait(tries, timeout=until_s, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                tries.discard(each)
                error = each.exception()
                if error is None:
                    tries |= done
                    tries.discard(each)
                    return each.result()
                errors.append(error)
    finally:
        await _given_up(tries)
    raise errors[0]


async def _given_up(tries: "set[asyncio.Task[socket.socket]]") -> None:
    for each in tries:
        each.cancel()
    for result in await asyncio.gather(*tries, return_exceptions=True):
        if isinstance(result, socket.socket):
            result.close()


async def _tried(address: Address) -> socket.socket:
    connection = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, address.where)
    except BaseException:
        connection.close()
        raise
    return connection


def not_connected(endpoint: Endpoint, error: Exception, connect_s: float) -> OriginFailed:
    """In words for an operator."""
    cause, remedy = _reason(endpoint, error, connect_s)
    failure = OriginFailed("connect to", str(endpoint), cause, remedy)
    failure.stage = "connect"
    failure.timed_out = isinstance(error, TimeoutError)
    return failure


def _reason(endpoint: Endpoint, error: Exception, connect_s: float) -> tuple[str, str]:
    name = endpoint.server_name or endpoint.host
    if isinstance(error, TimeoutError):
        return (
            f"timed out (no connection within {connect_s:g} s)",
            "Check that it runs, and that nothing filters its port",
        )
    if isinstance(error, ConnectionRefusedError):
        return "connection refused", "Check that it runs and listens there"
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved", "Check the name and the DNS of this machine"
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = f"its certificate is not trusted for {name}: {error.verify_message}"
        return cause, "Check the pool's ca_file and server_name"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error})", "Check that TLS 1.2 or newer is spoken there"
    if isinstance(error, FileNotFoundError):
        return f"there is no file {endpoint.ca_file}", "Check the pool's ca_file"
    if isinstance(error, ConnectionError):
        return "the connection was closed before it was whole", "Check that what listens there speaks TLS"
    return str(error) or type(error).__name__, ""
