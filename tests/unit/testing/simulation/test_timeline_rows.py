"""What a timeline shows of a history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.testing.simulation.history import TREE, History, Message, Step
from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.timeline_rows import (
    Arrival,
    Shown,
    Skipped,
    bars_of,
    clock_text,
    event_text,
    heartbeat_texts,
    lanes_of,
    length_text,
    row_text,
    select,
)


def history_of(*records: Step | Message) -> History:
    history = History(["cloud", "plant-a"])
    history.records.extend(records)
    return history


def message(at_s: float, text: str, took_s: float | None = 0.1, fate: str = "") -> Message:
    return Message(at_s, "plant-a", "cloud", text, None if took_s is None else at_s + took_s, fate)


def texts(history: History, *, whole: bool = False) -> list[str]:
    return [row_text(row) for row in select(history, whole=whole).rows]


END = Step(1000.0, "plant-a", "violation", "records are missing")


def test_rows_are_in_the_order_of_time_whatever_was_known_first():
    late = message(10.0, "POST /late", took_s=5.0)
    history = history_of(message(12.0, "POST /quick"), late, Step(8.0, "cloud", "fault", "kill"))
    rows = select(history).rows
    assert [(row.at_s, row_text(row)) for row in rows] == [
        (8.0, "fault: kill"),
        (10.0, "POST /late"),
        (12.0, "POST /quick"),
        (15.0, "POST /late arrives after 5 s"),
    ]
    assert isinstance(rows[3], Shown)
    assert isinstance(rows[3].item, Arrival)


def test_frequent_messages_between_two_steps_are_one_row_and_rare_ones_keep_their_place():
    posts = [message(999 + n / 100, f"POST /batches {n * 100} B") for n in range(14)]
    history = history_of(*posts[:7], message(999.065, "PUT /kv 3 B"), *posts[7:], END)
    assert texts(history) == ["POST /batches 0 B ×14 in 130 ms", "PUT /kv 3 B", "records are missing"]
    assert texts(history, whole=True) == [
        "POST /batches 0 B ×7 in 60 ms",
        "PUT /kv 3 B",
        "POST /batches 700 B ×7 in 60 ms",
        "records are missing",
    ]


def test_messages_with_another_fate_or_between_others_are_not_alike():
    fates = [message(999, "GET /x", fate=fate) for fate in ("", "duplicated", "held")]
    others = [
        Message(999.1, "cloud", "plant-a", "GET /x", 999.2),
        message(999.2, "GET /x", None),
        message(999.3, "GET /y"),
    ]
    assert len(texts(history_of(*fates, *others, *fates, *others, END))) == 13


def test_faults_and_violations_are_never_folded():
    faults = [Step(n / 10, "cloud", "fault", "reset") for n in range(5)]
    work = [Step(1 + n / 10, "cloud", "work", f"record {n} is acknowledged") for n in range(5)]
    assert texts(history_of(*faults, *work)) == ["fault: reset"] * 5 + ["record 0 is acknowledged ×5 in 400 ms"]


def test_far_from_faults_and_from_the_end_nothing_is_shown_but_how_much_it_was():
    works = [Step(200 + n, "cloud", "work", f"write of k{n}") for n in range(100)]
    lost = [message(150 + n, "GET /x", None) for n in range(3)]
    history = history_of(Step(5.0, "cloud", "fault", "kill"), *lost, *works, END)
    rows = select(history).rows
    skipped = [row for row in rows if isinstance(row, Skipped)]
    assert [row_text(row) for row in skipped] == ["… 2 s, 3 messages (3 lost)", "… 1 min 7 s, 68 steps"]
    assert len(rows) == 36
    assert [row for row in select(history, whole=True).rows if isinstance(row, Skipped)] == []


def test_messages_near_a_fault_are_shown_and_others_are_not():
    messages = [message(float(at), f"GET /at-{at}") for at in range(80, 121)]
    history = history_of(*messages, Step(100.0, "cloud", "fault", "kill"), END)
    shown = [text for text in texts(history) if text.startswith("GET")]
    assert shown == [f"GET /at-{at}" for at in range(95, 106)]


def test_what_went_on_all_through_the_run_is_named_and_left_out():
    beats = [message(float(at), f"GET /channel?after={at}") for at in range(0, 1000, 5)]
    lost = [message(at + 0.5, f"GET /channel?after={at}", None) for at in (995, 999)]
    posts = [message(996.0 + at, "POST /batches 7 B") for at in range(3)]
    history = history_of(*beats, *lost, *posts, END)
    assert texts(history)[-4:] == [
        "GET /channel?after=995 [lost]",
        "POST /batches 7 B ×3 in 2 s",
        "GET /channel?after=999 [lost]",
        "records are missing",
    ]
    assert not any(text == "GET /channel?after=995" for text in texts(history))
    assert heartbeat_texts(select(history)) == [
        "not shown, because it went on and went well all through the run: GET /channel?after=… ×200"
    ]
    assert texts(history, whole=True)[0] == "GET /channel?after=0 ×200 in 16 min 35 s"


@pytest.mark.parametrize(("took_s", "fate"), [(None, "lost"), (0.1, "duplicated")])
def test_what_went_wrong_all_through_the_run_is_shown(took_s: float | None, fate: str):
    history = history_of(*[message(float(at), "GET /channel", took_s, fate) for at in range(0, 1000, 5)], END)
    assert f"GET /channel [{fate}]" in texts(history)
    assert heartbeat_texts(select(history)) == []


def test_what_was_frequent_for_a_while_only_is_no_heartbeat():
    posts = [message(990 + at / 10, "POST /batches 7 B") for at in range(100)]
    assert select(history_of(message(0, "GET /x"), *posts, END)).heartbeats == []


def test_a_fault_lasts_until_it_is_healed_else_as_long_as_was_planned():
    history = history_of(
        Step(10.0, "plant-a", "fault", "partition", event=1, until_s=40.0),
        Step(11.0, "cloud", "fault", "kill", event=2, until_s=14.0),
        Step(12.0, "cloud", "fault", "reset", event=3),
        Step(30.0, "plant-a", "healed", "partition", event=1),
    )
    assert [(bar.lane, bar.at_s, bar.until_s, bar.event) for bar in bars_of(history)] == [
        ("plant-a", 10.0, 30.0, 1),
        ("cloud", 11.0, 14.0, 2),
    ]


def test_who_is_no_node_has_a_lane_after_all_nodes():
    history = history_of(Message(1, "operator", "cloud", "PUT /x", 1.1), Step(2, TREE, "check", "all is well"))
    assert lanes_of(history) == ["cloud", "plant-a", "operator"]


@pytest.mark.parametrize(
    ("at_s", "text"),
    [
        (0, "00:00.000"),
        (59.9996, "01:00.000"),
        (312.0414, "05:12.041"),
        (3912.5, "1:05:12.500"),
        (360_000, "100:00:00.000"),
    ],
)
def test_a_moment_is_told_as_on_a_clock(at_s: float, text: str):
    assert clock_text(at_s) == text


@pytest.mark.parametrize(
    ("length_s", "text"),
    [
        (0, "0 ms"),
        (0.0854, "85 ms"),
        (0.9996, "1 s"),
        (3.21, "3.2 s"),
        (59.96, "1 min"),
        (312, "5 min 12 s"),
        (3600, "1 h"),
        (7530, "2 h 6 min"),
    ],
)
def test_a_length_of_time_is_told_in_two_units_at_most(length_s: float, text: str):
    assert length_text(length_s) == text


def test_an_event_is_told_in_words():
    assert event_text(Event(1, 2.0, "kill", "cloud")) == "kill"
    event = Event(1, 2.0, "disk-full", "cloud", for_s=90, count=4096, amount=0.25)
    assert event_text(event) == "disk-full for 1 min 30 s, count 4096, amount 0.25"


records = st.one_of(
    st.builds(
        Step,
        st.floats(0, 500),
        st.sampled_from(["cloud", "plant-a", TREE]),
        st.sampled_from(["work", "fault", "healed", "life", "check", "violation"]),
        st.sampled_from(["a 1", "a 2", "b"]),
        st.none() | st.integers(0, 5),
        st.none() | st.floats(0, 600),
    ),
    st.builds(
        message, st.floats(0, 500), st.sampled_from(["GET /x 1 B", "GET /x 2 B", "PUT"]), st.none() | st.floats(0, 3)
    ),
)


@given(st.lists(records, max_size=80))
def test_every_record_is_counted_once(all_records: list[Step | Message]):
    history = history_of(*all_records)
    for whole in (False, True):
        selection = select(history, whole=whole)
        shown = sum(row.count for row in selection.rows if isinstance(row, Shown) and not isinstance(row.item, Arrival))
        skipped = sum(row.steps + row.messages for row in selection.rows if isinstance(row, Skipped))
        left_out = sum(row.count for row in selection.heartbeats if not isinstance(row.item, Arrival))
        assert shown + skipped + left_out == len(all_records)
        assert [row.at_s for row in selection.rows] == sorted(row.at_s for row in selection.rows)
        if whole:
            assert skipped == left_out == 0
