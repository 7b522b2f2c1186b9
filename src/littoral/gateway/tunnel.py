"""Connections that go on with another protocol: WebSocket, most of the time (RFC 9110, section 7.8; RFC 6455)."""

import asyncio

from littoral.gateway.exchange import Duplex, Exchange
from littoral.wire.caching.fields import combined, members

REFUSED = frozenset({"h2c", "http/2.0", "http/1.1", "tls/1.2", "tls/1.3"})
"""Other versions of what is spoken already. An origin that took one would have to be understood from then on, and what came
through the tunnel would be requests that nothing here has looked at."""


def wanted_protocol(exchange: Exchange) -> str | None:
    """What a client wants to go on with, if that is something to send on. A wish over HTTP/2 (RFC 8441) looks the same here."""
    if exchange.version == "1.0" or exchange.method != "GET" or exchange.has_body:
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


async def tunnel(one: Duplex, other: Duplex, idle_s: float) -> bool:
    """Carry bytes both ways until both sides have said all, or one is gone, or nothing has moved either way for `idle_s`.
    Returns whether that was the end of it."""
    ends = _Ends(one, other, idle_s)
    try:
        async with asyncio.TaskGroup() as ways:
            ways.create_task(_carry(one, other, ends))
            ways.create_task(_carry(other, one, ends))
    finally:
        ends.close()
    return ends.were_idle


async def _carry(source: Duplex, sink: Duplex, ends: "_Ends") -> None:
    try:
        while data := await source.read():
            await sink.write(data)
            ends.moved()
        sink.end()
    except ConnectionError:
        # A side that is gone is the end of it, and nobody's fault.
        ends.close()


class _Ends:
    """Both ends of a tunnel, and since when nothing has moved between them. The timer is not moved with each piece, but looks
    when it fires for how long there is still time."""

    def __init__(self, one: Duplex, other: Duplex, idle_s: float) -> None:
        self._one = one
        self._other = other
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._moved_s = self._loop.time()
        self._timer = self._loop.call_later(idle_s, self._look)
        self.were_idle = False

    def moved(self) -> None:
        """Something was carried, and taken."""
        self._moved_s = self._loop.time()

    def _look(self) -> None:
        until_s = self._moved_s + self._idle_s
        if self._loop.time() < until_s:
            self._timer = self._loop.call_at(until_s, self._look)
        else:
            self.were_idle = True
            self.close()

    def close(self) -> None:
        """Who reads from one of them then has its end."""
        self._timer.cancel()
        self._one.close()
        self._other.close()
