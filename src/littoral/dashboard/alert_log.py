"""The latest alerts."""

from collections import deque

from littoral.dashboard.records import Alert

ALERTS = 200
"""Alerts held and listed; the oldest goes. The streams keep all."""


class AlertLog:
    """Alerts in the order they came in. One with the id of another that is still held is the same alert."""

    def __init__(self) -> None:
        self._alerts: deque[Alert] = deque()
        self._ids: set[str] = set()
        self.count = 0
        """How many came since the dashboard started: tells a reader what it has not seen."""

    def add(self, alert: Alert) -> None:
        """Take an alert into the log."""
        if alert.id in self._ids:
            return
        self._alerts.append(alert)
        self._ids.add(alert.id)
        self.count += 1
        if len(self._alerts) > ALERTS:
            self._ids.discard(self._alerts.popleft().id)

    def since(self, count: int) -> list[Alert]:
        """Those held that came after `count` had come, oldest first."""
        new = min(self.count - count, len(self._alerts))
        return list(self._alerts)[len(self._alerts) - new :]
