"""What was put aside or is held back, in words: why it is so, and what to do about it."""

from collections.abc import Iterable, Mapping

from littoral.dashboard.cells import Cell, Line
from littoral.dashboard.stream_cells import offsets_text, stream_path
from littoral.dashboard.texts import age_text, bytes_text, count_text, event_time_text
from littoral.node.status import NodeStatus
from littoral.node.stream_messages import StreamRow
from littoral.store.replica import FORMER_STREAMS
from littoral.streams.blocked import BlockedKind
from littoral.streams.reclaim import QUARANTINE

REMEDIES: Mapping[BlockedKind, str] = {
    "diverged": (
        "Both sides keep what they have. Read both, and delete the stream at its origin once what is wanted is kept."
    ),
    "corrupt": "What was sent is not what its checksum says. `littoral store check` at both nodes finds where.",
    "refused": "It is over a limit there, or not the sender's to send: the log of the parent says which.",
    "forked": "Delete the fork; the node sends the stream when it connects again.",
    "another": "Delete the stream at one of the two nodes.",
    "compared": "Nothing: this ends by itself while the link is up.",
    "unproved": "Nothing, once the origin is connected. One that was expelled is let in by a new token.",
    "damaged": "A store is damaged, here or at the parent: `littoral store check` at both says what, and what to do.",
    "unreadable": "The reason says what is in the way; the rest goes on meanwhile.",
}
"""What to do."""
NOT_TAKEN = {
    "diverged": "two histories of a stream; none was given up, and it is held back where it comes from",
    "corrupt": "not what its checksum says; the stream is held back where it comes from",
    "refused": "over a limit, or of a stream that is not the sender's; held back where it comes from",
}


def aside_line(row: StreamRow, now_ms: int) -> Line:
    """A stream that was put aside."""
    origin, _, path = row.name.partition("/")
    if path.startswith(QUARANTINE):
        why = f"written at {origin} after its restore, where the parent has other records of {path.removeprefix(QUARANTINE)}"
    else:
        why = f"what was held of {path.removeprefix(FORMER_STREAMS)} before {origin} deleted and made it anew"
    return Line(
        row.name,
        (
            Cell(row.name, why),
            Cell(count_text(row.next - row.first), offsets_text(row)),
            Cell(bytes_text(row.bytes)),
            Cell(age_text(row.oldest_ms, now_ms)),
        ),
        stream_path(row.name),
    )


def blocked_lines(statuses: Iterable[NodeStatus]) -> list[Line]:
    """Streams that nodes do not send, by node."""
    return [
        Line(
            f"{status.node} {stream}", (Cell(stream, f"at {status.node}"), Cell(blocked.reason, REMEDIES[blocked.kind]))
        )
        for status in statuses
        if status.link is not None
        for stream, blocked in status.link.blocked.items()
    ]


def not_taken_lines(statuses: Iterable[NodeStatus]) -> list[Line]:
    """Batches that nodes did not take over, by node and cause."""
    return [
        Line(
            f"{status.node} {verdict}",
            (Cell(status.node), Cell(verdict, NOT_TAKEN.get(verdict, "")), Cell(count_text(count))),
        )
        for status in statuses
        for verdict, count in status.not_taken.items()
    ]


def restored_lines(statuses: Iterable[NodeStatus]) -> list[Line]:
    """Nodes whose stores were set back to a backup, the last time first."""
    restored = [(at_ms, status.node) for status in statuses for at_ms in status.restored_ms]
    return [
        Line(f"{node} {at_ms}", (Cell(node), Cell(f"{event_time_text(at_ms)} UTC")))
        for at_ms, node in sorted(restored, reverse=True)
    ]
