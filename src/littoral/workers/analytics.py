"""`env.<BINDING>` for a dataset: the interface of Workers Analytics Engine, for who writes."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from littoral.workers.binding import BindingCaller, BindingError
from littoral.workers.platform import wait_until

POINTS_AT_ONCE = 250
POINTS_KEPT = 5000
"""That are not written yet; more are dropped, and the log says so."""
PAUSE_S = 0.05
"""Points that are written within this travel together."""
VALUES_MOST = 20
BLOBS_BYTES = 16 * 1024
INDEX_BYTES = 96


class AnalyticsError(BindingError):
    """A data point is not as it has to be."""


class AnalyticsDataset:
    """A dataset. What is written to it is a stream of the node: a point is a record, JSON."""

    __slots__ = ("_call", "_dropped", "_name", "_points", "_writing")

    def __init__(self, name: str, call: BindingCaller) -> None:
        self._name = name
        self._call = call
        self._points: list[list[Any]] = []
        self._writing = False
        self._dropped = 0

    def writeDataPoint(self, point: Mapping[str, Any] | None = None, **named: Any) -> None:
        """Write a point: `indexes` (one text), `blobs` (texts), `doubles` (numbers). It returns at once, and the point is
        written soon after: one that is written as the node goes down is lost. Raises AnalyticsError."""
        said = {**(point or {}), **named}
        indexes = [_text(each) for each in said.get("indexes") or []]
        blobs = [_text(each) for each in said.get("blobs") or []]
        doubles = [float(each) for each in said.get("doubles") or []]
        if len(indexes) > 1 or any(len(each.encode()) > INDEX_BYTES for each in indexes):
            raise AnalyticsError(f"a data point has one index of at most {INDEX_BYTES} bytes")
        if len(blobs) > VALUES_MOST or len(doubles) > VALUES_MOST:
            raise AnalyticsError(f"a data point has at most {VALUES_MOST} blobs and {VALUES_MOST} doubles")
        if sum(len(each.encode()) for each in blobs) > BLOBS_BYTES:
            raise AnalyticsError(f"the blobs of a data point have at most {BLOBS_BYTES} bytes together")
        if len(self._points) >= POINTS_KEPT:
            self._dropped += 1
            return
        self._points.append([indexes, blobs, doubles])
        if not self._writing:
            self._writing = True
            wait_until(self._write())

    write_data_point = writeDataPoint

    async def _write(self) -> None:
        try:
            while self._points:
                await asyncio.sleep(PAUSE_S)
                points, self._points = self._points[:POINTS_AT_ONCE], self._points[POINTS_AT_ONCE:]
                try:
                    await self._call("write", self._name, [points])
                except BindingError as error:
                    sys.stderr.write(f"{len(points)} data points of {self._name} are lost: {error}\n")
                if self._dropped:
                    sys.stderr.write(f"{self._dropped} data points of {self._name} were dropped: too many at once\n")
                    self._dropped = 0
        finally:
            self._writing = False


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)
