"""Following one stream at the hub, from its latest records on."""

import asyncio
import logging

import msgspec

from littoral.core.backoff import Backoff
from littoral.core.errors import Gone, InvalidInput, LittoralError, NotFound
from littoral.core.undecodable import UNDECODABLE
from littoral.dashboard.hub_api import HubApi, Piece, row_name
from littoral.dashboard.picture import Picture
from littoral.dashboard.records import decode_alert, decode_window
from littoral.node.status import STATUS, NodeStatus
from littoral.node.stream_messages import StreamRow

TAIL_RECORDS = 2000
"""How far back of its tail a stream is read: enough to fill the charts, and bounded however long the stream is."""

_status = msgspec.json.Decoder(NodeStatus)
_log = logging.getLogger("littoral.dashboard")


class Follower:
    """Puts the records of one stream into the picture."""

    def __init__(self, hub: HubApi, entry: StreamRow, picture: Picture, backoff: Backoff) -> None:
        self._hub = hub
        self._entry = entry
        self._stream = row_name(entry)
        self._picture = picture
        self._backoff = backoff

    async def run(self) -> None:
        """Follow until the stream is gone or cannot be read from here on; the next listing finds what became of it."""
        entry = self._entry
        offset = max(entry.first, entry.next - TAIL_RECORDS)
        while True:
            try:
                piece = await self._hub.read(self._stream, offset)
            except (NotFound, Gone, InvalidInput):
                # Deleted, overtaken by retention, or shorter than it was: another beginning is needed.
                return
            except LittoralError as error:
                _log.debug("%s", error)
                await asyncio.sleep(self._backoff.next_delay_s())
                continue
            self._backoff.reset()
            self._take(piece)
            if piece.next == offset and entry.closed:
                return
            offset = piece.next

    def _take(self, piece: Piece) -> None:
        if self._stream.path == STATUS:
            self._take_reports(piece)
        elif self._entry.lane == "alerts":
            self._take_alerts(piece)
        else:
            self._take_windows(piece)

    def _take_reports(self, piece: Piece) -> None:
        for record in piece.records:
            try:
                status = _status.decode(record)
            except UNDECODABLE as error:
                _log.warning("a report in %s cannot be read: %s", self._entry.name, error)
                continue
            self._picture.rates.add(status)
            self._picture.caches.add(status)

    def _take_alerts(self, piece: Piece) -> None:
        for record in piece.records:
            if (alert := decode_alert(record)) is not None:
                self._picture.alerts.add(alert)
        self._picture.alert_tail(self._entry.name, piece.next)

    def _take_windows(self, piece: Piece) -> None:
        windows = [window for record in piece.records if (window := decode_window(record)) is not None]
        for window in windows:
            self._picture.windows.add(window)
        # A telemetry stream may hold anything: it counts as one of windows once it held one.
        if windows:
            self._picture.window_tail(self._entry.name, piece.next)
