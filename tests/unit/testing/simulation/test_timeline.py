"""A history as text."""

import pytest

from littoral.testing.simulation.history import TREE, History, Message, Step
from littoral.testing.simulation.plan import Event, Plan, PlannedNode
from littoral.testing.simulation.timeline import text_timeline

NODES = (
    PlannedNode("cloud", "cloud"),
    PlannedNode("eu", "region", "cloud"),
    PlannedNode("plant-a", "site", "eu", joins_s=12.5),
    PlannedNode("plant-b", "site", "eu"),
)
PLAN = Plan(
    seed=90125,
    hours=0.25,
    nodes=NODES,
    limits={"stream-bytes": 65536},
    events=(Event(4, 61.0, "partition", "plant-a", for_s=42.0), Event(9, 84.5, "append", "cloud", count=25)),
)


def history_of(*records: Step | Message) -> History:
    history = History([node.name for node in NODES])
    history.records.extend(records)
    return history


STORY = history_of(
    Step(0.0, "cloud", "life", "is switched on"),
    Step(61.0, "plant-a", "fault", "partition", event=4, until_s=103.0),
    Message(62.0, "plant-a", "eu", "POST /v1/peer/batches 812 B", fate="lost"),
    Message(63.0, "eu", "cloud", "POST /v1/peer/batches 90 B", 63.1),
    Message(64.0, "plant-b", "cloud", "GET /v1/x 9 B", 66.5),
    Step(84.5, "cloud", "work", "p0 appends 25 records", event=9),
    Step(103.0, "plant-a", "healed", "partition", event=4),
    Step(110.0, TREE, "check", "all is healed"),
    Step(111.0, "eu", "violation", "records 3 to 9 are missing"),
)


def lines(width: int = 120) -> list[str]:
    return text_timeline(STORY, PLAN, width).splitlines()


def line_with(text: str, width: int = 120) -> str:
    (found,) = [line for line in lines(width) if text in line and line[:2].isdigit()]
    return found


def test_the_head_says_what_repeats_the_run_and_what_went_wrong():
    head = "\n".join(lines()).split("\n\n")[0]
    assert head.splitlines() == [
        "seed 90125: 4 nodes, 2 events, 0.25 h; 6 steps, 3 messages",
        "nodes: cloud (cloud), eu (region below cloud), plant-a (site below eu, joins at 00:12.500), plant-b (site below eu)",
        "limits: stream-bytes=65536",
        "✖ VIOLATION at 01:51.000 at eu: records 3 to 9 are missing",
    ]
    assert "no violation" in text_timeline(history_of(*list(STORY.steps())[:3]), PLAN)


def test_the_plan_is_told_in_order_and_in_words():
    place = lines().index("Planned")
    assert lines()[place + 1 : place + 3] == [
        "  #4  01:01.000  plant-a  partition for 42 s",
        "  #9  01:24.500  cloud    append, count 25",
    ]
    assert "Nothing is planned." in text_timeline(STORY, PLAN.with_events(()))


def test_each_step_is_marked_on_the_lane_of_its_node():
    heads = next(line for line in lines() if line.split() == ["cloud", "eu", "plant-a", "plant-b"])
    for text, mark, node in [
        ("is switched on", "■", "cloud"),
        ("fault #4: partition", "▼", "plant-a"),
        ("#9: p0 appends", "○", "cloud"),
        ("healed #4", "▲", "plant-a"),
        ("VIOLATION: records", "✖", "eu"),
    ]:
        assert line_with(text).index(mark) == heads.index(node), text


def test_arrows_lead_from_the_source_to_the_target_and_lost_ones_end_before_it():
    heads = next(line for line in lines() if line.split() == ["cloud", "eu", "plant-a", "plant-b"])
    cloud, eu, plant_a, plant_b = (heads.index(node.name) for node in NODES)
    lost = line_with("812 B [lost]")
    assert lost[plant_a] == "●"
    assert lost[eu] == "│"
    assert eu < lost.index("✗") < plant_a
    assert set(lost[lost.index("✗") + 1 : plant_a]) == {"─"}
    well = line_with("batches 90 B")
    assert (well[cloud], well[eu]) == ("◀", "●")
    assert set(well[cloud + 1 : eu]) == {"─"}
    # This one takes 2.5 s, and passes a lane and a fault.
    sent, arrived = line_at("01:04.000"), line_with("arrives after 2.5 s")
    assert (sent[cloud + 1], sent[plant_a], sent[plant_b]) == ("◁", "╫", "●")
    assert (arrived[cloud], arrived[plant_b]) == ("◀", "◌")
    assert "╌" in sent
    assert "─" not in sent


def line_at(time: str) -> str:
    return next(line for line in lines() if line.startswith(time))


def test_a_lane_is_double_while_its_fault_lasts():
    heads = next(line for line in lines() if line.split() == ["cloud", "eu", "plant-a", "plant-b"])
    column = heads.index("plant-a")
    cells = {line[:9]: line[column] for line in lines() if line[:2].isdigit()}
    assert cells["00:00.000"] == "│"
    assert [cells[time] for time in ("01:01.000", "01:03.000", "01:24.500", "01:43.000")] == list("▼║║▲")
    assert line_at("01:50.000")[column] == "┼"
    assert cells["01:51.000"] == "│"


def test_idle_time_is_told():
    idle = [line for line in lines() if "… 1 min 1 s" in line]
    assert len(idle) == 1
    assert idle[0].count("┊") == 4


def test_what_concerns_all_nodes_goes_across():
    assert "✓────" in line_with("all is healed")
    assert line_with("all is healed").count("┼") == 3


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int):
    long = history_of(*STORY.records, Step(112.0, "cloud", "violation", "the cloud holds " + "what nobody sent, " * 30))
    told = text_timeline(long, PLAN, width)
    assert max(map(len, told.splitlines())) <= width
    assert told.count("what") == text_timeline(long, PLAN, 10_000).count("what")


def test_names_that_are_wider_than_lanes_stand_on_a_staircase():
    names = [f"a-node-with-a-long-name-{number}" for number in range(6)]
    history = History(names)
    history.records.extend(Step(float(number), name, "life", "starts") for number, name in enumerate(names))
    told = text_timeline(history, PLAN, 80).splitlines()
    heads = [line for line in told if line.endswith(tuple(names))]
    assert [line.count("│") for line in heads] == list(range(6))
    for head, name in zip(heads, names, strict=True):
        step = next(line for line in told if line.endswith("starts") and line[head.index(name)] == "■")
        assert step


def test_a_violation_stands_between_two_rules():
    place = lines().index(line_with("VIOLATION: records"))
    assert set(lines()[place - 1]) == set(lines()[place + 1]) == {"━"}


def test_lanes_of_which_nothing_is_shown_are_left_out():
    told = text_timeline(history_of(Step(1.0, "eu", "life", "starts")), PLAN)
    assert any(line.strip() == "eu" for line in told.splitlines())


def test_a_run_of_which_nothing_is_known_can_be_told():
    assert "no violation" in text_timeline(history_of(), PLAN)
    assert "all is over" in text_timeline(history_of(Step(1.0, TREE, "check", "all is over")), PLAN)
