"""What each link carries in a second, from the counters in its node's successive reports."""

from dataclasses import dataclass

from littoral.node.status import NodeStatus

LINKS = 10_000
"""Links with a rate; as many as a tree has nodes, at most."""


@dataclass(slots=True)
class _Carried:
    at_ms: int
    started_ms: int
    bytes: int
    per_s: float | None = None


class CarriedRates:
    """Of all links with a budget: nothing else is counted with what HTTP and TLS add."""

    def __init__(self) -> None:
        self._links: dict[str, _Carried] = {}

    def add(self, status: NodeStatus) -> None:
        """Take a report into account; one seen before changes nothing."""
        budget = status.link.budget if status.link is not None else None
        if budget is None:
            self._links.pop(status.node, None)
            return
        before = self._links.get(status.node)
        if before is None or before.started_ms != status.started_ms:
            if len(self._links) < LINKS:
                self._links[status.node] = _Carried(status.at_ms, status.started_ms, budget.carried_bytes)
        elif status.at_ms > before.at_ms:
            per_s = (budget.carried_bytes - before.bytes) * 1000 / (status.at_ms - before.at_ms)
            self._links[status.node] = _Carried(status.at_ms, status.started_ms, budget.carried_bytes, max(0.0, per_s))

    def per_s(self, node: str) -> float | None:
        """Bytes per second between the node's last two reports; None before there were two."""
        known = self._links.get(node)
        return known.per_s if known else None
