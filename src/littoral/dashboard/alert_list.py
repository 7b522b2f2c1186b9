"""The alerts on the page, newest first."""

from nicegui import ui

from littoral.dashboard.alert_log import ALERTS, AlertLog
from littoral.dashboard.records import Alert
from littoral.dashboard.texts import event_time_text, value_text


class AlertList:
    """Shows what is in a log; a new alert costs its own line only."""

    def __init__(self) -> None:
        self._seen = 0
        self._items: list[ui.element] = []
        self._empty = ui.label("No alerts so far.").classes("lt-empty")
        self._list = ui.element("div").classes("lt-alerts").props('role=log aria-label="Alerts, newest first"')

    def update(self, log: AlertLog) -> None:
        """Put what came since the last call on top."""
        if log.count == self._seen:
            return
        self._empty.set_visibility(False)
        for alert in log.since(self._seen):
            with self._list:
                item = _item(alert)
            item.move(target_index=0)
            self._items.append(item)
        for old in self._items[:-ALERTS]:
            old.delete()
        self._items = self._items[-ALERTS:]
        self._seen = log.count


def _item(alert: Alert) -> ui.element:
    with ui.element("div").classes("lt-alert").props("role=listitem") as item:
        ui.element("span").classes("lt-diamond")
        with ui.element("div").classes("lt-alert-what"):
            with ui.element("div").classes("lt-alert-head"):
                ui.label(alert.node).classes("lt-main")
                ui.label(f"{event_time_text(alert.ts)} UTC").classes("lt-sub")
            ui.label(f"{alert.rule}: {alert.key}").classes("lt-sub")
        with ui.element("div").classes("lt-alert-figures"):
            ui.label(value_text(alert.value)).classes("lt-main")
            ui.label("no spread" if alert.zscore is None else f"z {alert.zscore:+.1f}").classes("lt-sub")
    return item
