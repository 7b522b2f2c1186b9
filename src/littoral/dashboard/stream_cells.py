"""Streams in words: a line of their table, and the facts of one."""

from urllib.parse import urlencode

from littoral.dashboard.cells import Cell, Line, Tone
from littoral.dashboard.texts import (
    NONE,
    age_text,
    bytes_text,
    count_text,
    event_time_text,
    rate_text,
    share_text,
    span_text,
)
from littoral.node.stream_messages import StreamRow

POLICIES = {"drop-oldest": "the oldest go", "reject": "appends are refused", "spill": "the oldest are spilled"}
REACHES = {"node": "stays at its node", "link": "goes to direct neighbours", "root": "goes up to the root"}


def stream_path(name: str) -> str:
    """Where the page of a stream is."""
    return f"/stream?{urlencode({'name': name})}"


def stream_line(row: StreamRow, now_ms: int) -> Line:
    """The stream's line."""
    state, tone = _state(row)
    return Line(
        row.name,
        (
            Cell(row.name, f"copy, by way of {row.via}" if row.via else "of this node"),
            Cell(row.lane),
            Cell(count_text(row.next - row.first), offsets_text(row)),
            budget_cell(row),
            Cell(age_text(row.oldest_ms, now_ms), retention_text(row)),
            Cell(*_rate(row)),
            Cell(state, _relations(row), tone),
        ),
        stream_path(row.name),
    )


def budget_cell(row: StreamRow) -> Cell:
    """How much of what it may hold it holds."""
    share = row.bytes / max(1, row.budget_bytes)
    policy = "" if row.policy == "drop-oldest" else f", then {'refuses' if row.policy == 'reject' else 'spills'}"
    return Cell(bytes_text(row.bytes), f"{share_text(share)} of {bytes_text(row.budget_bytes)}{policy}", "", share)


def offsets_text(row: StreamRow) -> str:
    """Which records are held."""
    if row.next == row.first:
        return f"the next is {count_text(row.next)}"
    last = row.next - 1
    return f"offset {count_text(last)}" if last == row.first else f"{count_text(row.first)} to {count_text(last)}"


def retention_text(row: StreamRow) -> str:
    """When records go."""
    return f"kept {span_text(row.retention_ms)}" if row.retention_ms is not None else "any age"


def facts(row: StreamRow, now_ms: int) -> dict[str, Cell]:
    """All that is to be said of one stream, by what it is."""
    state, tone = _state(row)
    expiry = f"expires {row.expires_at}" if row.expires_at else f"{row.ttl_s} s unread" if row.ttl_s else ""
    return {
        "Records": Cell(count_text(row.next - row.first), offsets_text(row)),
        "Budget": budget_cell(row),
        "When full": Cell(
            POLICIES[row.policy], f"spilled up to {count_text(row.spilled_to)}" if row.spilled_to else ""
        ),
        "Rate, last minute": Cell(*_rate(row)),
        "Oldest record": Cell(age_text(row.oldest_ms, now_ms), retention_text(row)),
        "Lane": Cell(row.lane, REACHES.get(row.reach, row.reach)),
        "Source": Cell(
            f"copy from {row.via}" if row.via else "this node", f"made {event_time_text(row.created_ms)} UTC"
        ),
        "Type": Cell(row.content_type),
        "State": Cell(state, _relations(row) or expiry, tone),
    }


def _rate(row: StreamRow) -> tuple[str, str]:
    if not row.records_s:
        return NONE, ""
    often = row.records_s >= 1
    rate = f"{rate_text(row.records_s)}/s" if often else f"{count_text(max(1, round(row.records_s * 60)))}/min"
    return rate, f"{bytes_text(round(row.bytes_s))}/s"


def _state(row: StreamRow) -> tuple[str, Tone]:
    if row.problem:
        return "cannot be read", "bad"
    return ("closed", "") if row.closed else ("open", "")


def _relations(row: StreamRow) -> str:
    if row.problem:
        return row.problem
    parts = []
    if row.forked_from is not None:
        parts.append("fork of a deleted stream" if row.forked_from == "?" else f"fork of {row.forked_from}")
    if row.forks:
        parts.append(f"{count_text(row.forks)} fork{'s' * (row.forks != 1)}")
    return ", ".join(parts)
