"""One stream: what is known of it, and its last records, as they come in."""

from collections import deque

from nicegui import ui

from littoral.dashboard.facts import Facts
from littoral.dashboard.hub_api import HubApi
from littoral.dashboard.record_text import record_text
from littoral.dashboard.shell import Shell, card
from littoral.dashboard.stream_cells import facts
from littoral.dashboard.texts import bytes_text, count_text, event_time_text
from littoral.node.stream_messages import RecordView, StreamRow, StreamView

POLL_S = 1.0
RECORDS = 25
"""Shown at first, and more at each click."""
RECORDS_MOST = 100
"""On the page: the oldest go while it follows."""
SHOWN_MOST = 500
"""However often older ones are asked for: for more there is `littoral stream read`."""


class StreamPage:
    """One browser's view."""

    def __init__(self, shell: Shell, hub: HubApi, name: str) -> None:
        self._shell = shell
        self._hub = hub
        self._name = name
        self._next: int | None = None
        """The offset that the next new record has; None before the first answer."""
        self._shown: deque[tuple[int, ui.element]] = deque()
        """Offsets and records, the oldest first."""
        with shell.body:
            with ui.element("div").classes("lt-crumbs"):
                ui.link("Streams", "/streams").classes("lt-link")
                ui.label("/").classes("lt-sub")
                ui.label(name).classes("lt-main")
            with card("Stream"):
                self._facts = Facts()
            with card("Records") as head:
                with head:
                    self._follow = ui.switch("Follow", value=True).props("dense")
                self._empty = ui.label("No records.").classes("lt-empty")
                self._list = (
                    ui.element("div").classes("lt-records").props('role=log aria-label="Records, newest first"')
                )
                self._older = ui.button("Older records", on_click=self._show_older)
                self._older.props("outline no-caps dense").classes("lt-act lt-older")
            self._waits = ui.label("Asking …").classes("lt-empty")
        self._empty.set_visibility(False)
        self._older.set_visibility(False)
        ui.timer(POLL_S, self._refresh)

    async def _refresh(self) -> None:
        follows = self._follow.value
        query = {"limit": RECORDS if follows else 1}
        if self._next is not None:
            query["after"] = self._next
        view = await self._shell.ask(self._hub.view(self._name, **query))
        self._waits.set_visibility(False)
        if view is None:
            return
        self._facts.update(facts(view.stream, view.now_ms))
        if self._next is not None and view.stream.next < self._next:
            self._clear()  # It was deleted and made anew: the next answer is of its beginning.
        elif follows:
            self._add_newer(view)

    def _add_newer(self, view: StreamView) -> None:
        if self._next is not None and view.records and view.records[0].offset > self._next:
            self._clear()  # More came than is shown at a time.
        for record in view.records:
            with self._list:
                item = _item(record, view.stream.content_type)
            item.move(target_index=0)
            self._shown.append((record.offset, item))
        while len(self._shown) > RECORDS_MOST:
            self._shown.popleft()[1].delete()
        self._next = view.stream.next
        self._tidy(view.stream)

    async def _show_older(self) -> None:
        if not self._shown:
            return  # The stream was made anew since the button was shown.
        before = self._shown[0][0]
        view = await self._shell.ask(self._hub.view(self._name, before=before, limit=RECORDS))
        if view is None or not self._shown or self._shown[0][0] != before:
            return  # Something else is shown by now: another click's answer, or what came while this one was on its way.
        self._follow.set_value(False)  # What is looked at must not run away.
        for record in reversed(view.records):
            with self._list:
                self._shown.appendleft((record.offset, _item(record, view.stream.content_type)))
        self._tidy(view.stream, is_end=not view.records)

    def _clear(self) -> None:
        self._list.clear()
        self._shown.clear()
        self._next = None
        self._older.set_visibility(False)

    def _tidy(self, row: StreamRow, *, is_end: bool = False) -> None:
        self._empty.set_visibility(not self._shown)
        has_older = bool(self._shown) and self._shown[0][0] > row.first and not is_end
        self._older.set_visibility(has_older and len(self._shown) < SHOWN_MOST)


def _item(record: RecordView, content_type: str) -> ui.element:
    shown = record_text(record.head, record.size, content_type)
    with ui.element("div").classes("lt-record").props(f"role=listitem data-offset={record.offset}") as item:
        with ui.element("div").classes("lt-record-head"):
            ui.label(count_text(record.offset)).classes("lt-main")
            ui.label(f"{event_time_text(record.at_ms)} UTC").classes("lt-sub")
            ui.element("div").classes("lt-space")
            ui.label(f"{shown.kind}, {bytes_text(record.size)}").classes("lt-sub")
        ui.label(shown.text).classes("lt-content")
        if shown.note:
            ui.label(shown.note).classes("lt-sub")
    return item
