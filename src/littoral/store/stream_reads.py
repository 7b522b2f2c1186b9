"""Reading streams, as committed."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import apsw
import msgspec

from littoral.core.errors import Gone, NotFound, StorageCorrupt
from littoral.core.names import StreamName
from littoral.store import forks, tail
from littoral.store.batch import BATCH_COLUMNS, Batch, StoredBatch
from littoral.store.database import translated
from littoral.store.mqtt_reads import MqttReads
from littoral.store.rows import take_rows
from littoral.store.spill import SpillPlace, SpillReader
from littoral.store.state_reads import StateReads
from littoral.store.stream import StreamInfo


class StreamReads(StateReads):
    """See `littoral.store.store.Store`."""

    def __init__(
        self,
        node: str,
        reader: apsw.Connection,
        streams: dict[StreamName, StreamInfo],
        place: SpillPlace | None,
    ) -> None:
        """As of StateReads. place: where this node's spill files are, if anywhere."""
        super().__init__(node, reader, streams)
        self.spilled = SpillReader(reader, place)
        self.mqtt = MqttReads(reader)

    # Heads

    def stream(self, name: StreamName) -> StreamInfo | None:
        """The stream as last committed, or None."""
        return self._streams.get(name)

    def heads(self) -> list[StreamInfo]:
        """All streams, in any order: of many, what costs least."""
        return list(self._streams.values())

    def streams(self) -> list[StreamInfo]:
        """All streams, by name."""
        return [self._streams[name] for name in sorted(self._streams)]

    # Batches

    def read(self, name: StreamName, offset: int, max_bytes: int) -> list[Batch]:
        """Committed batches from the one that holds `offset` on: at least one if there is any, then up to `max_bytes`
        of payload.

        Raises: NotFound, Gone for an offset that retention has taken, StorageCorrupt for one that is missing, Unavailable
        for one that was spilled to a place that is not there, StorageError.
        """
        info = self._streams.get(name)
        if info is None:
            raise NotFound("read stream", str(name), "there is no such stream on this node")
        if offset < info.first:
            raise _gone(name, offset, info.first)
        batches: list[Batch] = []
        at, left = offset, max_bytes
        with translated("read stream", str(name)):
            for segment in forks.segments(self._reader, info, offset):
                if at >= segment.end:
                    continue
                part = self._read_segment(info, segment, at, left, at_least_one=not batches)
                if part:
                    at, left = part[-1].next, left - sum(len(batch.payload) for batch in part)
                batches += part
                if at < segment.end:
                    break
        return self._before_hole(info, offset, batches) if name.origin == self.node else batches

    def _before_hole(self, info: StreamInfo, offset: int, batches: list[Batch]) -> list[Batch]:
        """Those that follow each other from `offset` on: our own streams have no holes but by damage."""
        at = offset
        for place, batch in enumerate(batches):
            if batch.first > at:
                batches = batches[:place]
                break
            at = batch.next
        if batches or offset >= info.next:
            return batches
        with translated("read stream", str(info.name)):
            head = self._reader.execute("SELECT first, next FROM streams WHERE id=?", (info.id,)).fetchone()
        following = self.next_batch(info, offset)
        if head is None or not head[0] <= offset < head[1]:
            # Retention or deletion is on disk already, and not yet published.
            raise _gone(info.name, offset, following)
        raise StorageCorrupt(
            "read stream",
            str(info.name),
            f"its records [{offset}, {following}) are missing",
            "Check the store with `littoral store check`; a backup may have them",
        )

    def next_batch(self, info: StreamInfo, offset: int) -> int:
        """Where the first batch after `offset` begins; the stream's tail if there is none."""
        with translated("read stream", str(info.name)):
            row = self._reader.execute(
                "SELECT coalesce((SELECT min(first) FROM spilled WHERE stream=? AND first>?),"
                " (SELECT min(first) FROM batches WHERE stream=? AND first>?))",
                (info.id, offset, info.id, offset),
            ).fetchone()
        return info.next if row is None or row[0] is None else row[0]

    def _read_segment(
        self, info: StreamInfo, segment: forks.Segment, offset: int, max_bytes: int, *, at_least_one: bool
    ) -> list[Batch]:
        """As `read`, and of the batches of one stream only."""
        batches = self._read_rows(info, segment, offset, max_bytes, at_least_one=at_least_one)
        if not (batches and batches[0].first <= offset):
            # Looked at after the rows: batches go from there to here, and are never in neither.
            end = batches[0].first if batches else segment.end
            spilled = self.spilled.read(segment.stream, info.name, offset, end, max_bytes)
            size = sum(len(batch.payload) for batch in spilled)
            if spilled and (at_least_one or size <= max_bytes):
                more = self._read_rows(info, segment, spilled[-1].next, max_bytes - size, at_least_one=False)
                batches = spilled + more if more and more[0].first == spilled[-1].next else spilled
        if segment.stream != info.id:  # A row says whose it is; what a fork reads is its own history.
            return [msgspec.structs.replace(batch, lineage=info.lineage) for batch in batches]
        return batches

    def _read_rows(
        self, info: StreamInfo, segment: forks.Segment, offset: int, max_bytes: int, *, at_least_one: bool
    ) -> list[Batch]:
        """As `_read_segment`, of what is in the table."""
        rows, _ = take_rows(
            self._reader.execute(
                f"SELECT {BATCH_COLUMNS} FROM batches WHERE stream=? AND first>=coalesce((SELECT max(first) FROM"
                " batches WHERE stream=? AND first<=?), 0) AND next>? AND next<=? ORDER BY first",
                (segment.stream, segment.stream, offset, offset, segment.end),
            ),
            _payload_bytes,
            max_bytes,
            at_least_one=at_least_one,
        )
        return [Batch(*info.name, *row) for row in rows]

    def read_stored(self, name: StreamName, offset: int, max_bytes: int) -> list[StoredBatch]:
        """As `read`, with what a neighbour needs to know of the stream; of a copy up to the next hole."""
        info = self._streams.get(name)
        batches = self.read(name, offset, max_bytes)
        assert info is not None
        stored = [StoredBatch(batch, info.content_type, info.lane, info.reach, info.first) for batch in batches]
        return stored if name.origin == self.node else _up_to_hole(stored, offset)

    # Ages and ends

    def appended_ms(self, info: StreamInfo, offset: int) -> int | None:
        """When the batch that holds `offset`, or the first one after it, was appended; of one in a spill file, when the
        newest in it was. Reads no payload. None if there is none. Raises StorageError."""
        with translated("look into stream", str(info.name)):
            return tail.appended_ms(self._reader, info, offset)

    def first_since(self, info: StreamInfo, offset: int, since_ms: int, most: int) -> tail.Aged:
        """Where the first batch of a stream from `offset` on begins that was appended at `since_ms` or later, by a look at up
        to `most` batches. Of a spill file, all that it has from `offset` on counts as its newest. Raises StorageError."""
        with translated("look into stream", str(info.name)):
            return tail.first_since(self._reader, info, offset, since_ms, most)

    def latest(self, name: StreamName, before: int, max_bytes: int, most: int) -> list[Batch]:
        """Committed batches with records before offset `before`, the latest first; see `tail.latest_batches`. Raises
        NotFound, StorageError."""
        info = self._streams.get(name)
        if info is None:
            raise NotFound("read stream", str(name), "there is no such stream on this node")
        with translated("read stream", str(name)):
            return tail.latest_batches(self._reader, info, before, max_bytes, most)

    def recent(self, info: StreamInfo, since_ms: int, most: int) -> tail.Recent:
        """What was appended to the stream since a moment, by a look at up to `most` batches. Raises StorageError."""
        with translated("read stream", str(info.name)):
            return tail.recent(self._reader, info, since_ms, most)

    # Deleted streams

    def has_purgeable(self) -> bool:
        """Whether there are rows of deleted streams that nobody reads."""
        with translated("look for deleted streams in", "store"):
            return forks.purgeable(self._reader) is not None

    def deleted_bytes(self) -> int:
        """What deleted streams still hold: what forks read of them, for the most part."""
        with translated("look for deleted streams in", "store"):
            return forks.deleted_bytes(self._reader)

    def is_held(self, name: StreamName) -> bool:
        """Whether a stream of this name was deleted while it had forks, and one of them lives."""
        with translated("look for forks of", str(name)):
            return forks.is_held(self._reader, name)


def _payload_bytes(row: Sequence[Any]) -> int:
    return len(row[-1])


def _up_to_hole(batches: list[StoredBatch], offset: int) -> list[StoredBatch]:
    """Of a copy, those that follow each other. What is missing before the first was lost before it could come here, and
    is missing for ever: the first says so, for `StreamInfo.first` does not."""
    if batches and (first := batches[0].batch.first) > offset:
        batches[0] = msgspec.structs.replace(batches[0], earliest=first)
    for place, (before, after) in enumerate(pairwise(batches), 1):
        if after.batch.first > before.batch.next:
            return batches[:place]
    return batches


def _gone(name: StreamName, offset: int, oldest: int) -> Gone:
    return Gone(
        "read stream",
        str(name),
        f"offset {offset} is no longer held; the oldest is {oldest}",
        "Read from there, or fetch a snapshot of what you fold from it",
    )
