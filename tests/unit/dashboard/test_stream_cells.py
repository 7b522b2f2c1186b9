"""Streams in words."""

import msgspec
import pytest

from littoral.dashboard.stream_cells import facts, stream_line
from littoral.dashboard.streams_page import Choice, choice_of
from littoral.node.stream_messages import StreamRow
from tests.support.statuses import NOW_MS

ROW = StreamRow(
    name="plant-a/raw",
    lane="telemetry",
    content_type="application/json",
    first=1_000,
    next=13_000,
    bytes=30_000_000,
    budget_bytes=40_000_000,
    policy="drop-oldest",
    spilled_to=0,
    retention_ms=None,
    closed=False,
    reach="root",
    via="eu",
    created_ms=NOW_MS - 60_000,
    ttl_s=None,
    expires_at=None,
    forked_from=None,
    forks=0,
    oldest_ms=NOW_MS - 61_000,
    records_s=0.0,
    bytes_s=0.0,
)


def texts(**changes: object) -> dict[str, tuple[str, str]]:
    """A line's cells."""
    line = stream_line(msgspec.structs.replace(ROW, **changes), NOW_MS)
    names = ("name", "lane", "records", "budget", "oldest", "rate", "state")
    return {name: (cell.main, cell.sub) for name, cell in zip(names, line.cells, strict=True)}


def test_a_line_says_what_a_stream_holds_and_of_how_much() -> None:
    shown = texts()
    assert shown["name"] == ("plant-a/raw", "copy, by way of eu")
    assert shown["records"] == ("12\u202f000", "1\u202f000 to 12\u202f999")
    assert shown["budget"] == ("30 MB", "75 % of 40 MB")
    assert stream_line(ROW, NOW_MS).cells[3].share == 0.75
    assert shown["oldest"] == ("1 min 1 s", "any age")
    assert shown["rate"] == ("–", "")
    assert stream_line(ROW, NOW_MS).target == "/stream?name=plant-a%2Fraw"


def test_what_happens_at_the_end_of_a_budget_is_said_where_it_is_not_as_ever() -> None:
    assert texts(policy="reject")["budget"][1] == "75 % of 40 MB, then refuses"
    spilled = facts(msgspec.structs.replace(ROW, policy="spill", spilled_to=900), NOW_MS)
    assert (spilled["When full"].main, spilled["When full"].sub) == ("the oldest are spilled", "spilled up to 900")


@pytest.mark.parametrize(
    ("records_s", "rate"),
    [(0.02, "1/min"), (0.0001, "1/min"), (0.5, "30/min"), (2.5, "2.5/s"), (1234.5, "1\u202f234/s")],
)
def test_a_rate_is_said_in_numbers_that_can_be_read(records_s: float, rate: str) -> None:
    assert texts(records_s=records_s, bytes_s=2500.4)["rate"] == (rate, "2.5 kB/s")


def test_state_and_relations() -> None:
    assert texts(closed=True, via="")["state"] == ("closed", "")
    assert texts(forked_from="plant-a/x", forks=2)["state"] == ("open", "fork of plant-a/x, 2 forks")
    assert texts(forked_from="?")["state"][1] == "fork of a deleted stream"
    assert texts(problem="it is damaged")["state"] == ("cannot be read", "it is damaged")
    assert texts(first=5, next=5, oldest_ms=None)["records"] == ("0", "the next is 5")
    assert texts(retention_ms=7 * 86_400_000)["oldest"][1] == "kept 7 d"


def test_an_address_says_what_is_listed_and_nonsense_in_it_is_left_out() -> None:
    assert choice_of("x", "bulk", "forks", "bytes", "1") == Choice("x", "bulk", "forks", "bytes", descending=True)
    assert choice_of("x" * 999, "fast", "<b>", "colour", "") == Choice("x" * 200)
