"""What a child has to send, and in which order. No I/O beyond reading the store.

A stream goes up if it is this node's own or came from below, and its reach says so. A frame is filled from the urgent
lanes first, and what room is left is shared by the others (`littoral.streams.shares`). Within a lane the streams take
turns.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

from littoral.core.errors import Gone, NotFound, StorageCorrupt
from littoral.core.lanes import LANES, Lane
from littoral.core.names import StreamName
from littoral.store.batch import StoredBatch
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.streams.shares import Shares

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
        self._tails: dict[StreamName, int] = {}
        self._lanes: dict[Lane, list[StreamName]] = {lane: [] for lane in LANES}
        self._shares = Shares()
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
            self._tails[info.name] = info.next
            self._lanes[info.lane].append(info.name)

    def grown(self, info: StreamInfo) -> int:
        """How many records came to a stream since this was asked last; 0 for one that does not go up."""
        before = self._tails.get(info.name)
        if before is None:
            return 0
        self._tails[info.name] = info.next
        return max(0, info.next - before)

    def forget(self, name: StreamName) -> None:
        """The stream was deleted."""
        self.blocked.pop(name, None)
        self._ids.pop(name, None)
        self._tails.pop(name, None)
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
            batches = self._read(name, 0, 1)
            if batches and (oldest is None or batches[0].batch.appended_ms < oldest):
                oldest = batches[0].batch.appended_ms
        return LaneDepth(records, oldest)

    def take(self, lanes: Iterable[Lane], max_bytes: int) -> list[StoredBatch]:
        """The next batches to send of `lanes`, in the order in which they should go: at least one, then up to
        `max_bytes` of payload and one batch more; empty if there are none.

        Nothing is marked as sent: the parent's answer does that.
        """
        turns = {lane: self._turns(lane) for lane in lanes}
        ends: dict[StreamName, int] = {}
        frame: list[StoredBatch] = []
        room = max_bytes
        while turns and room > 0:
            lane = self._shares.next(turns)
            most = min(room, self._shares.piece(lane, turns, max_bytes))
            batches = self._piece(turns[lane], ends, most)
            if not batches:
                del turns[lane]
                continue
            size = sum(len(stored.batch.payload) for stored in batches)
            self._shares.served(lane, size)
            frame += batches
            room -= size
        return frame

    def _turns(self, lane: Lane) -> deque[StreamName]:
        """The streams of a lane that have something to send, from the one on whose turn it is."""
        names = self._lanes[lane]
        if len(names) > 1:
            names.append(names.pop(0))
        stream, marks, blocked = self._store.stream, self._marks, self.blocked
        return deque(
            name
            for name in names
            if (info := stream(name)) is not None and info.next > marks[name] and name not in blocked
        )

    def _piece(self, turns: deque[StreamName], ends: dict[StreamName, int], most: int) -> list[StoredBatch]:
        """The next batches of a lane, each stream's at most once; those that have nothing (more) leave `turns`.

        ends: of the streams that are in the frame already, up to where."""
        batches: list[StoredBatch] = []
        for _ in range(len(turns)):
            name = turns.popleft()
            part = self._read(name, ends.get(name, 0), most)
            if not part:
                continue
            batches += part
            ends[name] = part[-1].batch.next
            turns.append(name)
            most -= sum(len(stored.batch.payload) for stored in part)
            if most <= 0:
                break
        return batches

    def _read(self, name: StreamName, after: int, max_bytes: int) -> list[StoredBatch]:
        """The next batches of a stream that are not at the parent, and not before `after`."""
        info = self._store.stream(name)
        start = max(self._marks[name], after)
        if info is None or info.next <= start:
            return []
        try:
            # What retention took before it was sent is left out; the receiver is told by `earliest`, and counts it.
            return self._store.read_stored(name, max(start, info.first), max_bytes)
        except (Gone, NotFound):
            # Retention or deletion is on disk and is about to be published; whoever waits for work is woken by that.
            return []
        except StorageCorrupt as damage:
            self.block(name, str(damage))
            return []
