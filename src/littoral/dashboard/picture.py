"""All that the dashboard knows at one moment. The feed writes it, pages read it; nothing here does I/O."""

from littoral.dashboard.alert_log import AlertLog
from littoral.dashboard.cache_history import CacheHistory
from littoral.dashboard.carried import CarriedRates
from littoral.dashboard.links_api import Link
from littoral.dashboard.rates import Rates
from littoral.dashboard.series import WindowSeries
from littoral.node.status import NodeStatus


class Picture:
    """What was heard last."""

    def __init__(self, name: str) -> None:
        """name: of the node whose hub is asked."""
        self.name = name
        self.problem: str | None = "The hub has not been asked yet."
        """Why there is no answer from the hub; None while there is."""
        self.nodes: dict[str, NodeStatus] = {}
        """By name; the node itself first."""
        self.disconnected_ms: dict[str, int] = {}
        """Nodes whose parent says that they have no channel -> when this was first heard, ms since the epoch."""
        self.links: dict[str, Link] = {}
        self.cut_ms: dict[str, int] = {}
        """Links that are cut -> when this was first heard, ms since the epoch."""
        self.links_problem: str | None = None
        """Why links cannot be steered; None while they can, or there are none to steer."""
        self.rates = Rates()
        self.carried = CarriedRates()
        self.caches = CacheHistory()
        self.windows = WindowSeries()
        self.alerts = AlertLog()
        self.unread_streams = 0
        """Streams that are not followed, because as many are as may be."""
        self._window_tails: dict[str, int] = {}
        self._alert_tails: dict[str, int] = {}

    def heard_nodes(self, statuses: list[NodeStatus], now_ms: int) -> None:
        """The hub answered."""
        self.problem = None
        self.nodes = {status.node: status for status in statuses}
        for status in statuses:
            self.carried.add(status)
        away = {
            child
            for status in statuses
            for child in status.children
            if child in self.nodes and child not in status.connected
        }
        self.disconnected_ms = {name: self.disconnected_ms.get(name, now_ms) for name in sorted(away)}

    def heard_links(self, links: list[Link], now_ms: int) -> None:
        """The owner of the links answered."""
        self.links_problem = None
        self.cut_ms = {link.name: self.cut_ms.get(link.name, now_ms) for link in links if link.state == "cut"}
        self.links = {link.name: link for link in links}

    def window_tail(self, stream: str, tail: int) -> None:
        """A stream of windows has had `tail` records so far."""
        self._window_tails[stream] = tail

    def alert_tail(self, stream: str, tail: int) -> None:
        """A stream of alerts has had `tail` records so far."""
        self._alert_tails[stream] = tail

    @property
    def window_count(self) -> int:
        """Windows in all streams, ever."""
        return sum(self._window_tails.values())

    @property
    def alert_count(self) -> int:
        """Alerts in all streams, ever."""
        return sum(self._alert_tails.values())

    @property
    def dead_letter_count(self) -> int:
        """Open dead letters of all nodes."""
        return sum(status.dead_letters for status in self.nodes.values())

    @property
    def blocked_count(self) -> int:
        """Streams that do not go up, at all nodes."""
        return sum(len(status.link.blocked) for status in self.nodes.values() if status.link is not None)
