"""What a child has to send, and in which order. No I/O beyond reading the store.

A stream goes up if it is this node's own or came from below, and its reach says so. A frame is filled from the urgent
lanes first, and what room is left is shared by the others (`littoral.streams.shares`). Within a lane the streams take
turns: those that are in a frame go behind the others once it is on its way. Only those are looked at that may have something
to send, so that a frame costs what is in it, also at a relay of very many streams.

What is on its way is not taken again: a frame goes on where the one before it ends. What is older than it is worth
(`littoral.streams.ttl`) is stepped over; the parent is told by `earliest` that it will not get it, as of what retention took.
It is told once it has all that was sent before: a frame that overtook another would make it give up what is still to come.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from littoral.core.errors import Gone, NotFound, StorageCorrupt, Unavailable
from littoral.core.lanes import LANES, Lane
from littoral.core.names import StreamName
from littoral.store.batch import StoredBatch
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.tail import Aged
from littoral.streams.blocked import Blocked, BlockedKind
from littoral.streams.holds import Holds
from littoral.streams.shares import Shares
from littoral.streams.ttl import SendTtl

UPLINK_FOLD = "uplink"
"""The fold under which the parent's marks are kept, so that queue depths are known before the parent is reached."""

LOOK_BATCHES = 2_000
"""Of which the age is looked at in one go: some ten milliseconds at most, for which all else on the node waits."""


class LaneDepth(msgspec.Struct, frozen=True):
    """What waits in a lane."""

    records: int
    oldest_ms: int | None
    """When the oldest waiting record was appended, ms since the epoch; where it is in a spill file, when the newest there
    was."""
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
        self._lanes: dict[Lane, dict[StreamName, None]] = {lane: {} for lane in LANES}
        """The streams that go up."""
        self._due: dict[Lane, dict[StreamName, None]] = {lane: {} for lane in LANES}
        """Those of them that may have something to send, in the order of their turns."""
        self._lane: dict[StreamName, Lane] = {}
        """Where each is."""
        self._shares = Shares()
        self._ahead: dict[StreamName, int] = {}
        """Up to where a stream is on its way."""
        self.moved: dict[StreamName, None] = {}
        """Streams whose marks have changed since they were kept on disk."""
        self._expired: dict[StreamName, int] = {}
        """Up to where a stream is too old to be sent."""
        self.looking = False
        """The last `take` has come so far in what is too old to be sent, and not to its end: call it again."""
        self._oldest: dict[StreamName, tuple[int, int]] = {}
        """Of what waits of a stream, where it begins and when that was appended, as was asked last."""
        self.expired: dict[Lane, int] = dict.fromkeys(LANES, 0)
        """Records that were stepped over because they were too old, by lane, since the start."""
        self.blocked: dict[StreamName, Blocked] = {}
        """Streams the parent cannot take over, with the reason. They are kept here and not sent."""
        self._left: set[StreamName] = set()
        """See `leave`."""
        self._kept = store.fold_offsets(UPLINK_FOLD)
        """The marks that were on disk at the start, of streams that were not seen since."""
        self.begin_session()

    def begin_session(self) -> None:
        """What was left in the last session may go up in this one."""
        self._left.clear()
        for info in self._store.streams():
            self.note(info)

    def note(self, info: StreamInfo) -> None:
        """A stream changed; it may be new, or another of the same name."""
        if self._ids.get(info.name, info.id) != info.id:
            self.forget(info.name)
        name = info.name
        if name not in self._marks and name not in self._left and goes_up(info, self._store.node, self.parent):
            self._marks[name] = self._kept.pop(name, 0)
            self._ids[name] = info.id
            self._tails[name] = info.next
            self._lane[name] = info.lane
            self._lanes[info.lane][name] = None
        if name in self._marks and info.next > self._start(name):
            self._due[self._lane[name]].setdefault(name)

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
        self.moved.pop(name, None)
        self._ahead.pop(name, None)
        self._expired.pop(name, None)
        self._oldest.pop(name, None)
        if self._holds is not None:
            self._holds.release(name)
        self._ids.pop(name, None)
        self._tails.pop(name, None)
        self._kept.pop(name, None)
        self._marks.pop(name, None)
        if (lane := self._lane.pop(name, None)) is not None:
            self._lanes[lane].pop(name, None)
            self._due[lane].pop(name, None)

    def names(self) -> list[StreamName]:
        """The streams that go up."""
        return list(self._marks)

    def stream_id(self, name: StreamName) -> int | None:
        """Which stream has that name now; None if there is none to send."""
        return self._ids.get(name)

    def mark(self, name: StreamName) -> int:
        """Up to where the parent has the stream."""
        return self._marks[name]

    def is_ahead(self, name: StreamName) -> bool:
        """Whether more of the stream is on its way than the parent has, as far as is known."""
        return self._ahead.get(name, 0) > self._marks[name]

    def set_mark(self, name: StreamName, offset: int) -> None:
        """The parent says where its copy ends."""
        before = self._marks.get(name, offset)
        if before != offset:
            self._marks[name] = offset
            self.moved[name] = None
        if offset < before:
            self._due[self._lane[name]].setdefault(name)

    def block(self, name: StreamName, kind: BlockedKind, reason: str) -> None:
        """Stop sending a stream; the rest goes on."""
        self.blocked[name] = Blocked(kind, reason)

    def leave(self, name: StreamName) -> None:
        """Send nothing of a stream in this session, and count nothing of it as waiting: its origin is elsewhere in the tree
        now, and sends it from there."""
        self.forget(name)
        self._left.add(name)

    def posted(self, frame: Sequence[StoredBatch]) -> None:
        """A frame is on its way: what is taken next follows it, and it is the turn of others."""
        for lane, batches in groupby(frame, key=lambda stored: self._lane[stored.batch.name]):
            size = 0
            for stored in batches:
                name = stored.batch.name
                self._ahead[name] = stored.batch.next
                self._due[lane].pop(name, None)
                self._due[lane][name] = None
                size += len(stored.batch.payload)
            self._shares.served(lane, size)

    def recall(self, lanes: Iterable[Lane]) -> None:
        """Nothing of these lanes is on its way any more: what is taken next follows what the parent has."""
        recalled = set(lanes)
        for name in [name for name in self._ahead if self._lane[name] in recalled]:
            del self._ahead[name]
            self._due[self._lane[name]].setdefault(name)

    def depth(self, lane: Lane) -> LaneDepth:
        """What waits in a lane, as of now. Of very many streams the age of some is as of an earlier call."""
        records, size, oldest, room = 0, 0, None, LOOK_BATCHES
        for name in self._lanes[lane]:
            info = self._store.stream(name)
            if info is None or info.next <= self._marks[name]:
                continue
            start, appended_ms, looked = self._waiting_from(info, room)
            room -= looked
            records += max(0, info.next - start)
            size += info.bytes * max(0, info.next - start) // max(1, info.count)
            if appended_ms is not None and (oldest is None or appended_ms < oldest):
                oldest = appended_ms
        return LaneDepth(records, oldest, size)

    def _waiting_from(self, info: StreamInfo, room: int) -> tuple[int, int | None, int]:
        """Where what waits of a stream begins, and when that was appended, as far as is known; and at how many batches the
        store looked for it, no more than `room`."""
        start = max(self._marks[info.name], info.first, self._expired.get(info.name, 0))
        known = self._oldest.get(info.name)
        if room <= 0:
            return start, None if known is None else known[1], 0
        looked = int(known is None or known[0] != start)
        appended_ms = self._appended_ms(info, start)
        oldest_ms = None if self._ttl is None else self._ttl.oldest_ms(info)
        if appended_ms is None or oldest_ms is None or appended_ms >= oldest_ms:
            return start, appended_ms, looked
        aged = self._step_over(info, start, oldest_ms, room)
        return aged.next, self._appended_ms(info, aged.next), looked + aged.looked

    def _appended_ms(self, info: StreamInfo, start: int) -> int | None:
        """When what waits of a stream from `start` on was appended; asked of the store once for each start."""
        known = self._oldest.get(info.name)
        if known is not None and known[0] == start:
            return known[1]
        appended_ms = self._store.appended_ms(info, start) if start < info.next else None
        if appended_ms is not None:
            self._oldest[info.name] = (start, appended_ms)
        return appended_ms

    def take(self, lanes: Iterable[Lane], max_bytes: int) -> list[StoredBatch]:
        """The next batches to send of `lanes`, in the order in which they should go: at least one, then up to
        `max_bytes` of payload and one batch more; empty if there are none.

        Nothing is changed by it, so that less may be taken instead: `posted` does that, and the parent's answer.
        """
        self.looking = False
        shares = self._shares.copy()
        turns = {lane: self._turns(lane) for lane in lanes}
        ends: dict[StreamName, int] = {}
        frame: list[StoredBatch] = []
        room = max_bytes
        while turns and room > 0:
            lane = shares.next(turns)
            most = min(room, shares.piece(lane, turns, max_bytes))
            batches = self._piece(turns[lane], ends, most)
            if not batches:
                del turns[lane]
                continue
            size = sum(len(stored.batch.payload) for stored in batches)
            shares.served(lane, size)
            frame += batches
            room -= size
        return frame

    def _turns(self, lane: Lane) -> deque[StreamName]:
        """The streams of a lane that have something to send, from the one on whose turn it is."""
        due, turns = self._due[lane], deque[StreamName]()
        for name in list(due):
            info = self._store.stream(name)
            if info is None or info.next <= self._start(name):
                del due[name]  # until it grows, or has to be sent again
            elif name not in self.blocked and not (self._holds is not None and self._holds.is_held(name)):
                turns.append(name)
        return turns

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
        batches = self._read_from(name, max(self._start(name), after), max_bytes)
        mark, sent = self._marks[name], max(self._ahead.get(name, 0), after)
        if not batches or sent <= mark:
            return batches
        if batches[0].batch.first > sent:
            return []  # What lies between is to be given up only once the parent has what was sent.
        if all(stored.earliest <= mark for stored in batches):
            return batches
        return [msgspec.structs.replace(stored, earliest=min(stored.earliest, mark)) for stored in batches]

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
            self.block(name, "damaged", str(damage))
        except Unavailable as error:
            if self._holds is not None:
                self._holds.hold(name, str(error))
        return []

    def _step_over(self, info: StreamInfo, start: int, oldest_ms: int, most: int) -> Aged:
        """Step over what is too old of a stream from `start` on, by a look at up to `most` batches."""
        aged = self._store.first_since(info, start, oldest_ms, most)
        known = max(start, self._marks[info.name], self._expired.get(info.name, 0))
        self.expired[info.lane] += max(0, aged.next - known)
        self._expired[info.name] = max(aged.next, self._expired.get(info.name, 0))
        return aged

    def _fresh(self, info: StreamInfo, batches: list[StoredBatch], max_bytes: int) -> list[StoredBatch]:
        """What was read of a stream, or where that begins with what is too old, what follows."""
        oldest_ms = None if self._ttl is None else self._ttl.oldest_ms(info)
        if batches and oldest_ms is not None and batches[0].batch.appended_ms < oldest_ms:
            start = batches[0].batch.first
            aged = self._step_over(info, start, oldest_ms, LOOK_BATCHES)
            self.looking = self.looking or (not aged.found and aged.next < info.next)
            batches = self._store.read_stored(info.name, aged.next, max_bytes) if aged.found else []
        earliest = self._expired.get(info.name, 0)
        if earliest <= info.first:
            return batches
        return [msgspec.structs.replace(stored, earliest=max(stored.earliest, earliest)) for stored in batches]
