"""Nodes that call each other over simulated links, in virtual time.

A **peer** is a handler served under a base URL; a **link** leads from one node to one base URL, and each has its own
delay, bandwidth, loss and cuts. As over TCP, pieces of one stream keep their order, and a piece that is lost on a link that was
cut silently leaves the stream silent from there on, even after the link is restored: the idle timeout is what notices.

A lost request never reaches the handler. A lost response means that the handler ran, and the caller cannot know. A
request may also be held back, or reach the handler twice.

A handler runs in the context in which its peer began to be served. So a process that is paused (`SimLoop.pause`) takes
connections and answers nothing until it is resumed; what arrives for it meanwhile waits, its own answers too.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context

from littoral.core.http import Handler, Request, Response
from littoral.core.tasks import Tasks
from littoral.core.transport import OpenStream
from littoral.testing.link import Direction, Link
from littoral.testing.net_connection import Connection, Event, Peer, Traffic
from littoral.testing.random import SeededRandom

__all__ = ["Direction", "Event", "Link", "SimNetwork", "SimTransport", "Traffic"]


class SimNetwork:
    """All peers and links of a simulation."""

    def __init__(self, random: SeededRandom) -> None:
        self.random = random
        self.counts: Counter[Event] = Counter()
        """How often each thing happened."""
        self.failures: list[BaseException] = []
        """What failed out of any caller's sight; a test asserts that it is empty."""
        self.observe: Callable[[Traffic], None] | None = None
        """Told of everything that happens to a request. It must not raise, nor change anything."""
        self.peers: dict[str, Peer] = {}
        self.tasks = Tasks(self.failures.append)
        self.context = copy_context()
        """What lies between the nodes belongs to none of them."""
        self._links: dict[tuple[str, str], Link] = {}

    def serve(self, base_url: str, handler: Handler) -> None:
        """Let `handler` answer at `base_url`, as a process that has just started. It runs in the current context."""
        self.stop(base_url)
        self.peers[base_url] = Peer(handler, copy_context())

    def stop(self, base_url: str) -> None:
        """The process dies: what it was doing is abandoned, its callers are reset, and new ones are refused."""
        peer = self.peers.get(base_url)
        if peer is None or not peer.up:
            return
        peer.up = False
        connections, peer.connections = peer.connections, {}
        for connection in connections:
            connection.peer_died()

    def link(self, node: str, base_url: str) -> Link:
        """The way from `node` to `base_url`; made at first use, without delay."""
        return self._links.setdefault((node, base_url), Link())

    def links(self, node: str) -> list[Link]:
        """All ways out of `node` that were used or asked for so far."""
        return [link for (origin, _), link in self._links.items() if origin == node]

    def transport(self, node: str) -> "SimTransport":
        """How `node` calls others."""
        return SimTransport(self, node)

    async def aclose(self) -> None:
        """End what is in progress."""
        await self.tasks.stop()


class SimTransport:
    """Implements `littoral.core.transport.Transport` for one node."""

    def __init__(self, network: SimNetwork, node: str) -> None:
        self._network = network
        self._node = node

    async def request(self, base_url: str, request: Request, timeout_s: float) -> Response:
        """See `Transport.request`."""
        connection = self._open(base_url, request, stream=False)
        try:
            async with asyncio.timeout(timeout_s):
                head = await connection.receive_head()
                if isinstance(head, Response):
                    return head
                body = bytearray()
                while (piece := await connection.receive()) is not None:
                    body += piece
        except TimeoutError:
            raise connection.timed_out(timeout_s) from None
        finally:
            connection.close()
        return Response(head.status, head.headers, bytes(body))

    @asynccontextmanager
    async def stream(self, base_url: str, request: Request, idle_timeout_s: float) -> AsyncIterator[OpenStream]:
        """See `Transport.stream`."""
        self._network.counts["streams"] += 1
        connection = self._open(base_url, request, stream=True)
        try:
            head = await connection.receive_head(idle_timeout_s)
            yield OpenStream(head.status, head.headers, _pieces(connection, idle_timeout_s))
        finally:
            connection.close()

    def _open(self, base_url: str, request: Request, *, stream: bool) -> Connection:
        network = self._network
        link = network.link(self._node, base_url)
        connection = Connection(network, link, self._node, base_url, network.counts["requests"] + 1, request)
        connection.start(stream=stream)
        return connection


async def _pieces(connection: Connection, idle_timeout_s: float) -> AsyncIterator[bytes]:
    while (piece := await connection.receive(idle_timeout_s)) is not None:
        yield piece
