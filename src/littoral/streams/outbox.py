"""What a child has to send, and in which order. No I/O beyond reading the store.

A stream goes up if it is this node's own or came from below, and its reach says so. A frame is filled from the urgent
lanes first, and what room is left is shared by the others (`littoral.streams.shares`). Within a lane the streams take
turns.

What is on its way is not taken again: a frame goes on where the one before it ends. What is older than it is worth
(`littoral.streams.ttl`) is stepped over; the parent is told by `earliest` that it will not get it, as of what retention took.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from littoral.core.errors import Gone, NotFound, StorageCorrupt, Unavailable
from littoral.core.lanes import LANES, Lane
from littoral.core.names import StreamName
from littoral.store.batch import StoredBatch
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.streams.holds import Holds
from littoral.streams.shares import Shares
from littoral.streams.ttl import SendTtl

UPLINK_FOLD = "uplink"
"""The fold under which the parent's marks are kept, so that queue depths are known before the parent is reached."""


class LaneDepth(msgspec.Struct, frozen=True):
    """What waits in a lane."""

    records: int
    oldest_ms: int | None
    """When the oldest waiting record was appended, ms since the epoch."""
    bytes: int = 0
    """Of their payloads, as far as each stream's records are of its mean size: to count them would be to read them."""


def goes_up(info: StreamInfo, node: str, parent: str) -> bool:
    """Whether `node` ships the stream to `parent`."""
    if info.name.origin == node:
        return info.reach != "node"
    return info.reach == "root" and info.via != parent


class Outbox:
    """Per stream, up to where the parent has it."""

    def __init__(self, store: Store, parent: str, holds: Holds | None = None, ttl: SendTtl | None = None) -> None:
        """holds: which streams cannot be sent just now; ttl: what is too old to be sent."""
        self._store = store
        self._holds = holds
        self._ttl = ttl
        self.parent = parent
        self._marks: dict[StreamName, int] = {}
        self._ids: dict[StreamName, int] = {}
        """Which stream of that name the mark is of."""
        self._tails: dict[StreamName, int] = {}
        self._lanes: dict[Lane, list[StreamName]] = {lane: [] for lane in LANES}
        self._shares = Shares()
        self._ahead: dict[StreamName, int] = {}
        """Up to where a stream is on its way."""
        self._expired: dict[StreamName, int] = {}
        """Up to where a stream is too old to be sent."""
        self.expired: dict[Lane, int] = dict.fromkeys(LANES, 0)
        """Records that were stepped over because they were too old, by lane, since the start."""
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
        self._ahead.pop(name, None)
        self._expired.pop(name, None)
        if self._holds is not None:
            self._holds.release(name)
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

    def posted(self, frame: Sequence[StoredBatch]) -> None:
        """A frame is on its way: what is taken next follows it."""
        for stored in frame:
            self._ahead[stored.batch.name] = stored.batch.next

    def recall(self, lanes: Iterable[Lane]) -> None:
        """Nothing of these lanes is on its way any more: what is taken next follows what the parent has."""
        for lane in lanes:
            for name in self._lanes[lane]:
                self._ahead.pop(name, None)

    def depth(self, lane: Lane) -> LaneDepth:
        """What waits in a lane, as of now."""
        records, size, oldest = 0, 0, None
        for name in self._lanes[lane]:
            info = self._store.stream(name)
            if info is None or info.next <= self._marks[name]:
                continue
            batches = self._read_from(name, self._marks[name], 1)
            start = max(self._marks[name], info.first, self._expired.get(name, 0))
            records += max(0, info.next - start)
            size += info.bytes * max(0, info.next - start) // max(1, info.count)
            if batches and (oldest is None or batches[0].batch.appended_ms < oldest):
                oldest = batches[0].batch.appended_ms
        return LaneDepth(records, oldest, size)

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
        return deque(name for name in names if self._is_due(name))

    def _is_due(self, name: StreamName) -> bool:
        info = self._store.stream(name)
        if info is None or name in self.blocked or info.next <= self._start(name):
            return False
        return self._holds is None or not self._holds.is_held(name)

    def _start(self, name: StreamName) -> int:
        """Where what is to be sent next of a stream begins."""
        return max(self._marks[name], self._ahead.get(name, 0), self._expired.get(name, 0))

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
        """The next batches of a stream that are neither at the parent nor on their way, and not before `after`."""
        return self._read_from(name, max(self._start(name), after), max_bytes)

    def _read_from(self, name: StreamName, start: int, max_bytes: int) -> list[StoredBatch]:
        info = self._store.stream(name)
        if info is None or info.next <= start:
            return []
        try:
            # What retention took before it was sent is left out; the receiver is told by `earliest`, and counts it.
            batches = self._store.read_stored(name, max(start, info.first), max_bytes)
            return self._fresh(info, batches, max_bytes)
        except (Gone, NotFound):
            # Retention or deletion is on disk and is about to be published; whoever waits for work is woken by that.
            return []
        except StorageCorrupt as damage:
            self.block(name, str(damage))
        except Unavailable as error:
            if self._holds is not None:
                self._holds.hold(name, str(error))
        return []

    def _fresh(self, info: StreamInfo, batches: list[StoredBatch], max_bytes: int) -> list[StoredBatch]:
        """What was read of a stream, or where that begins with what is too old, what follows."""
        oldest_ms = None if self._ttl is None else self._ttl.oldest_ms(info)
        if batches and oldest_ms is not None and batches[0].batch.appended_ms < oldest_ms:
            start = batches[0].batch.first
            expired = self._store.first_since(info, start, oldest_ms)
            known = max(start, self._marks[info.name], self._expired.get(info.name, 0))
            self.expired[info.lane] += max(0, expired - known)
            self._expired[info.name] = max(expired, self._expired.get(info.name, 0))
            batches = self._store.read_stored(info.name, expired, max_bytes) if expired < info.next else []
        earliest = self._expired.get(info.name, 0)
        if earliest <= info.first:
            return batches
        return [msgspec.structs.replace(stored, earliest=max(stored.earliest, earliest)) for stored in batches]
