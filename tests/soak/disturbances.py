"""What was disturbed, and when."""

import contextlib
from collections.abc import Iterator

from tests.soak.schedule import REGION
from tests.soak.workload import seconds


class Disturbances:
    """Of nodes and of WANs, since the run began."""

    def __init__(self) -> None:
        self._nodes: dict[str, int] = {}
        self._quiet_since_s: dict[str, float] = {}
        self._wans: dict[str, float] = {}

    @contextlib.contextmanager
    def of_node(self, node: str) -> Iterator[None]:
        """From the fault until the node works again."""
        self._nodes[node] = self._nodes.get(node, 0) + 1
        try:
            yield
        finally:
            self._nodes[node] -= 1
            self._quiet_since_s[node] = seconds()

    @contextlib.contextmanager
    def of_link(self, link: str) -> Iterator[None]:
        """From the fault until it is over."""
        self._wans[link] = seconds()
        try:
            yield
        finally:
            del self._wans[link]

    def was_disturbed(self, node: str, since_s: float) -> bool:
        """At any moment since."""
        return self._nodes.get(node, 0) > 0 or self._quiet_since_s.get(node, -1.0) >= since_s

    def is_cut_off(self, node: str, since_s: float) -> bool:
        """Whether the WAN of this node, or the one above it, is disturbed now and was at that moment."""
        return any(self._wans.get(link, since_s + 1) <= since_s for link in (node, REGION))
