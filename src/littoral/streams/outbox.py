"""What a child has to send, and in which order. No I/O beyond reading the store.

A stream goes up if it is this node's own or came from below, and its reach says so. A frame is filled from the most
urgent lane on, and what room is left goes to the next: a lane that always has a little does not keep the others
waiting. Within a lane the streams take turns.
"""

from collections.abc import Iterable

import msgspec

from littoral.core.errors import Gone, NotFound
from littoral.core.lanes import LANES, Lane
from littoral.core.names import StreamName
from littoral.store.batch import StoredBatch
from littoral.store.store import Store
from littoral.store.stream import StreamInfo

UPLINK_FOLD = "uplink"
"""The fold under which the parent's marks are kept, so that queue depths are known before the parent is reached."""


class LaneDepth(msgspec.Struct, frozen=True):
    """What waits in a lane."""

    records: int
    oldest_ms: int | None
    """When the oldest waiting record was appended, ms since the epoch."""


def goes_up(info: StreamInfo, node: str, parent: str) -> bool:
    """Whether `node` ships the stream to `parent`."""
    if info.name.origin == node:
        return info.reach != "node"
    return info.reach == "root" and info.via != parent


class Outbox:
    """Per stream, up to where the parent has it."""

    def __init__(self, store: Store, parent: str) -> None:
        self._store = store
        self.parent = parent
        self._marks: dict[StreamName, int] = {}
        self._ids: dict[StreamName, int] = {}
        """Which stream of that name the mark is of."""
        self._lanes: dict[Lane, list[StreamName]] = {lane: [] for lane in LANES}
        self.blocked: dict[StreamName, str] = {}
        """Streams the parent cannot take over, with the reason. They are kept here and not sent."""
        for info in store.streams():
            self.note(info)

    def note(self, info: StreamInfo) -> None:
        """A stream changed; it may be new, or another of the same name."""
        if self._ids.get(info.name, info.id) != info.id:
            self.forget(info.name)
        if info.name not in self._marks and goes_up(info, self._store.node, self.parent):
            self._marks[info.name] = self._store.fold_offset(UPLINK_FOLD, info.name)
            self._ids[info.name] = info.id
            self._lanes[info.lane].append(info.name)

    def forget(self, name: StreamName) -> None:
        """The stream was deleted."""
        self.blocked.pop(name, None)
        self._ids.pop(name, None)
        if self._marks.pop(name, None) is not None:
            for names in self._lanes.values():
                if name in names:
                    names.remove(name)

    def names(self) -> list[StreamName]:
        """The streams that go up."""
        return list(self._marks)

    def stream_id(self, name: StreamName) -> int | None:
        """Which stream has that name now; None if there is none to send."""
        return self._ids.get(name)

    def mark(self, name: StreamName) -> int:
        """Up to where the parent has the stream."""
        return self._marks[name]

    def set_mark(self, name: StreamName, offset: int) -> None:
        """The parent says where its copy ends."""
        if name in self._marks:
            self._marks[name] = offset

    def block(self, name: StreamName, reason: str) -> None:
        """Stop sending a stream; the rest goes on."""
        self.blocked[name] = reason

    def depth(self, lane: Lane) -> LaneDepth:
        """What waits in a lane, as of now."""
        records, oldest = 0, None
        for name in self._lanes[lane]:
            info = self._store.stream(name)
            if info is None or info.next <= self._marks[name]:
                continue
            start = max(self._marks[name], info.first)
            records += info.next - start
            batches = self._read(name, 1)
            if batches and (oldest is None or batches[0].batch.appended_ms < oldest):
                oldest = batches[0].batch.appended_ms
        return LaneDepth(records, oldest)

    def take(self, lanes: Iterable[Lane], max_bytes: int) -> list[StoredBatch]:
        """The next batches to send of `lanes`, the most urgent first; empty if they have none.

        Nothing is marked as sent: the parent's answer does that.
        """
        frame: list[StoredBatch] = []
        room = max_bytes
        for lane in lanes:
            for name in self._turns(lane):
                for stored in self._read(name, room):
                    frame.append(stored)
                    room -= len(stored.batch.payload)
                if room <= 0:
                    return frame
        return frame

    def _turns(self, lane: Lane) -> list[StreamName]:
        names = self._lanes[lane]
        if len(names) > 1:
            names.append(names.pop(0))
        return [name for name in names if name not in self.blocked]

    def _read(self, name: StreamName, max_bytes: int) -> list[StoredBatch]:
        info = self._store.stream(name)
        if info is None or info.next <= self._marks[name]:
            return []
        try:
            # What retention took before it was sent is left out; the receiver is told by `earliest`, and counts it.
            return self._store.read_stored(name, max(self._marks[name], info.first), max_bytes)
        except (Gone, NotFound):
            # Retention or deletion is on disk and is about to be published; whoever waits for work is woken by that.
            return []
