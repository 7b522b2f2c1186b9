"""What each node of a local tree says of itself, put together with what the relays know."""

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError
from littoral.core.names import parse_stream_name
from littoral.node.local_tree import LocalTree
from littoral.node.operator_client import OperatorClient
from littoral.node.status import NodeStatus
from littoral.node.stream_messages import LIST, StreamEntries, StreamEntry

WINDOWS, ALERTS = "windows", "alerts"
ASK_S = 2.0
"""A node of this machine that does not answer by then is being restarted."""

_page = msgspec.json.Decoder(StreamEntries)


async def streams_of(client: OperatorClient, timeout_s: float = ASK_S) -> list[StreamEntry]:
    """All streams that a node holds. timeout_s: of each page of their list."""
    streams: list[StreamEntry] = []
    after: str | None = ""
    while after is not None:
        query = {"plain": "1", "after": after}
        page = _page.decode((await client.call("GET", LIST, query=query, timeout_s=timeout_s)).body)
        streams += page.streams
        after = page.next_page
    return streams


def held(streams: list[StreamEntry], path: str) -> int:
    """How many records a node holds of all streams with this path, its own and those from below."""
    return sum(each.next for each in streams if parse_stream_name(each.name).path == path)


class NodeLine(msgspec.Struct, frozen=True):
    """A node at one moment, as the live view shows it."""

    node: str
    link: str
    """root, up, connecting, cut; or away: the node does not answer."""
    queue: int = 0
    """Records that wait to be sent."""
    oldest_s: float | None = None
    """Age of the oldest of them."""
    readings_per_s: float | None = None
    """None where no devices connect."""
    windows: int = 0
    alerts: int = 0


class Observer:
    """Asks every node again and again."""

    def __init__(self, tree: LocalTree, clock: Clock) -> None:
        self._tree = tree
        self._clock = clock
        self._before: dict[str, tuple[float, int]] = {}
        """Node -> when it was asked last, and its readings then."""

    async def look(self) -> list[NodeLine]:
        """All nodes, the root first."""
        return [await self._line(node) for node in self._tree.clients]

    async def _line(self, node: str) -> NodeLine:
        client = self._tree.clients[node]
        try:
            status = await self._status(client)
            streams = await streams_of(client)
        except LittoralError:
            return NodeLine(node, "away")
        oldest = [lane.oldest_ms for lane in status.lanes.values() if lane.oldest_ms is not None]
        return NodeLine(
            node,
            self._link(status),
            sum(lane.records for lane in status.lanes.values()),
            max(0, self._clock.wall_ms() - min(oldest)) / 1000 if oldest else None,
            self._rate(status),
            held(streams, WINDOWS),
            held(streams, ALERTS),
        )

    async def _status(self, client: OperatorClient) -> NodeStatus:
        response = await client.call("GET", "/v1/status", timeout_s=ASK_S)
        return msgspec.json.decode(response.body, type=NodeStatus)

    def _link(self, status: NodeStatus) -> str:
        if status.link is None:
            return "root"
        if self._tree.links[status.node].statistics().state != "up":
            return "cut"
        return "up" if status.link.connected else "connecting"

    def _rate(self, status: NodeStatus) -> float | None:
        if "mqtt" not in status.addresses:
            return None
        now_s = self._clock.monotonic_s()
        before_s, before = self._before.get(status.node, (now_s, status.readings))
        self._before[status.node] = (now_s, status.readings)
        # The count begins at zero when the hub does.
        return max(0, status.readings - before) / (now_s - before_s) if now_s > before_s else 0.0
