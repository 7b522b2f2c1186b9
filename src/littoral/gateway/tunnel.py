"""Connections that go on with another protocol: WebSocket, most of the time (RFC 9110, section 7.8; RFC 6455)."""

import asyncio

from littoral.gateway.exchange import Duplex, Exchange
from littoral.wire.caching.fields import combined, members

REFUSED = frozenset({"h2c", "http/2.0", "http/1.1", "tls/1.2", "tls/1.3"})
"""Other versions of what is spoken already. An origin that took one would have to be understood from then on, and what came
through the tunnel would be requests that nothing here has looked at."""


def wanted_protocol(exchange: Exchange) -> str | None:
    """What a client wants to go on with, if that is something to send on."""
    if exchange.version != "1.1" or exchange.method != "GET" or exchange.has_body:
        return None
    wanted = None
    for name, value in exchange.fields:
        if name == "upgrade":
            wanted = f"{wanted}, {value}" if wanted else value
    if wanted is None or "upgrade" not in _connection_options(exchange):
        return None
    kept = [each for each in members(wanted) if each.lower() not in REFUSED]
    return ", ".join(kept) or None


def _connection_options(exchange: Exchange) -> list[str]:
    return [name.lower() for name in members(combined(exchange.fields, "connection") or "")]


async def tunnel(one: Duplex, other: Duplex) -> None:
    """Carry bytes both ways until both sides have said all, or one is gone."""
    try:
        async with asyncio.TaskGroup() as ways:
            ways.create_task(_carry(one, other))
            ways.create_task(_carry(other, one))
    finally:
        one.close()
        other.close()


async def _carry(source: Duplex, sink: Duplex) -> None:
    try:
        while data := await source.read():
            await sink.write(data)
        sink.end()
    except ConnectionError:
        # A side that is gone is the end of it, and nobody's fault.
        source.close()
        sink.close()
