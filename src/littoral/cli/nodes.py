"""What a node knows of itself and of those below it, put together."""

from collections.abc import Sequence

from littoral.node.status import NodeStatus


class Nodes:
    """The last reports. A report from beyond a cut link is old and still says that all is well, so whether a node is
    connected is its parent's word."""

    def __init__(self, reports: Sequence[NodeStatus]) -> None:
        """reports: as GET /v1/nodes gives them, the node that was asked first."""
        self.all = reports
        self.asked = reports[0]
        self._connected = {child for each in reports for child in each.connected}

    @property
    def now_ms(self) -> int:
        """The time at the node that was asked."""
        return self.asked.at_ms

    def is_connected(self, status: NodeStatus) -> bool:
        """Whether the node's parent has a connection to it. The one that was asked knows its own link."""
        if status is self.asked:
            return status.link is None or status.link.connected
        return status.node in self._connected

    def link_since_ms(self, status: NodeStatus) -> int | None:
        """Since when its link is as it is; for a node that is cut off, when it was heard last. None at the root."""
        if status.link is None:
            return None
        if self.is_connected(status) == status.link.connected:
            return status.link.since_ms
        return status.at_ms
