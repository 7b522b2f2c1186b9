"""A history as a page."""

import re
from html.parser import HTMLParser
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.testing.simulation.history import TREE, History, Message, Step, StepKind
from littoral.testing.simulation.plan import Event, Plan, PlannedNode
from littoral.testing.simulation.timeline_page import timeline_page

NODES = (
    PlannedNode("cloud", "cloud"),
    PlannedNode("eu", "region", "cloud"),
    PlannedNode("plant-a", "site", "eu"),
    PlannedNode("plant-b", "site", "eu"),
)
PLAN = Plan(
    seed=90125,
    hours=0.25,
    nodes=NODES,
    events=(Event(4, 61.0, "partition", "plant-a", for_s=42.0), Event(9, 84.5, "append", "cloud", count=25)),
)
VOID = {"meta", "input", "br", "link", "img"}


class Element(msgspec.Struct):
    tag: str
    attributes: dict[str, str]
    children: list["Element"] = []
    own_text: str = ""

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    def text(self) -> str:
        return self.own_text + "".join(child.text() for child in self.children)

    def all(self, tag: str | None = None, cls: str | None = None, **attributes: str) -> list["Element"]:
        """All elements below with this tag, class and attributes."""
        found = []
        for child in self.children:
            wanted = {name.replace("_", "-"): value for name, value in attributes.items()}
            if (
                tag in (None, child.tag)
                and (cls is None or cls in child.classes)
                and wanted.items() <= child.attributes.items()
            ):
                found.append(child)
            found += child.all(tag, cls, **attributes)
        return found


class Parser(HTMLParser):
    """Makes a tree, and fails where tags are not closed in their order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, [])
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].own_text += data


def parsed(page: str) -> Element:
    parser = Parser()
    parser.feed(page)
    parser.close()
    assert parser.open == [parser.root]
    return parser.root


def history_of(*records: Step | Message) -> History:
    history = History([node.name for node in NODES])
    history.records.extend(records)
    return history


STORY = history_of(
    Step(0.0, "cloud", "life", "is switched on"),
    Step(61.0, "plant-a", "fault", "partition", event=4, until_s=103.0),
    Message(62.0, "plant-a", "eu", "POST /v1/peer/batches 812 B", fate="lost"),
    Message(63.0, "eu", "cloud", "POST /v1/peer/batches 90 B", 63.1),
    Message(64.0, "cloud", "plant-b", "GET /v1/x 9 B", 66.5),
    Step(84.5, "cloud", "work", "p0 appends 25 records", event=9),
    Step(103.0, "plant-a", "healed", "partition", event=4),
    Step(110.0, TREE, "check", "all is healed"),
    Step(111.0, "eu", "violation", "records 3 to 9 are missing"),
)


@pytest.fixture(scope="module")
def page() -> Element:
    return parsed(timeline_page(STORY, PLAN, "Missing records"))


def row_with(page: Element, text: str) -> Element:
    (row,) = [row for row in page.all(cls="row") if text in row.text()]
    return row


def lane_of(row: Element, cls: str) -> str:
    (part,) = row.all(cls=cls)
    return part.attributes["style"].removeprefix("--lane-of:")


def test_each_node_has_a_head_and_a_lifeline(page: Element):
    assert [head.text() for head in page.all(cls="head")] == ["cloudcloud", "euregion", "plant-asite", "plant-bsite"]
    (lifelines,) = page.all(cls="lifelines")
    assert [line.attributes["style"] for line in lifelines.all(cls="line")] == [f"--lane-of:{n}" for n in range(4)]
    (sheet,) = page.all(cls="sheet")
    assert sheet.attributes["style"] == "--lanes:4;--digits:9"


def test_steps_are_marked_on_their_lanes_in_the_order_of_time(page: Element):
    assert lane_of(row_with(page, "is switched on"), "mark") == "0"
    assert lane_of(row_with(page, "fault #4"), "mark") == "2"
    assert lane_of(row_with(page, "healed #4"), "mark") == "2"
    assert row_with(page, "all is healed").all(cls="across")
    times = [row.all("time")[0].text() for row in page.all(cls="row")]
    told = [time for time in times if time]
    assert told == sorted(told)
    assert told[0] == "00:00.000"


def test_a_fault_is_a_bar_from_where_it_begins_to_where_it_is_healed(page: Element):
    with_bars = [row for row in page.all(cls="row") if row.all(cls="bar")]
    assert "fault #4" in with_bars[0].text()
    assert "healed #4" in with_bars[-1].text()
    rows = page.all(cls="row")
    assert with_bars == rows[rows.index(with_bars[0]) : rows.index(with_bars[-1]) + 1]
    bars = [row.all(cls="bar")[0] for row in with_bars]
    assert [n for n, bar in enumerate(bars) if "begins" in bar.classes] == [0]
    assert [n for n, bar in enumerate(bars) if "ends" in bar.classes] == [len(bars) - 1]
    assert {bar.attributes["style"] for bar in bars} == {"--lane-of:2"}


def ends(row: Element) -> tuple[str, str]:
    (line,) = row.all(cls="arrow")[0].all("line")
    return line.attributes["x1"], line.attributes["x2"]


def test_arrows_lead_from_lane_to_lane_and_lost_ones_end_between_in_a_cross(page: Element):
    well = row_with(page, "batches 90 B")
    assert ends(well) == ("25.000%", "0.000%")
    assert [point.attributes["transform"] for point in well.all(cls="point")] == ["rotate(180)"]
    assert not well.all(cls="cross")
    lost = row_with(page, "812 B [lost]")
    assert "lost" in lost.classes
    assert ends(lost) == ("50.000%", "35.000%")
    assert lost.all(cls="cross")
    assert lost.all("line", cls="faint")
    assert not lost.all(cls="point")
    sent, arrived = [row for row in page.all(cls="row") if "GET /v1/x" in row.text()]
    assert ends(sent) == ends(arrived) == ("0.000%", "75.000%")
    assert sent.all("path", cls="hollow")
    assert arrived.all("path", cls="point")


def test_every_kind_that_is_shown_can_be_switched_off(page: Element):
    chips = {chip.text(): chip.all("input")[0].attributes["data-kind"] for chip in page.all(cls="chip")}
    assert list(chips) == ["work", "faults", "life", "checks", "peer/batches", "x"]
    switched = set(chips.values()) | {"time", ""}
    assert {row.attributes["data-kind"] for row in page.all(cls="row")} <= switched
    assert row_with(page, "batches 90 B").attributes["data-kind"] == chips["peer/batches"]
    # What went wrong is always shown.
    assert row_with(page, "records 3 to 9").attributes["data-kind"] == ""


def test_a_violation_is_told_on_top_and_leads_to_its_row(page: Element):
    (verdict,) = page.all(cls="verdict")
    assert (verdict.own_text, verdict.children[0].text()) == (
        " at eu: records 3 to 9 are missing",
        "Violation at 01:51.000",
    )
    row = row_with(page, "records 3 to 9")
    assert "violation" in row.classes
    assert verdict.all("button")[0].attributes["data-row"] == row.attributes["id"]


def test_planned_events_are_tied_to_their_rows(page: Element):
    buttons = page.all(cls="plan")[0].all("button")
    assert [button.text() for button in buttons] == [
        "#4partition for 42 s01:01.000 at plant-a",
        "#9append, count 2501:24.500 at cloud",
    ]
    tied = [row for row in page.all(cls="row") if row.attributes.get("data-event") == "4"]
    assert [("fault" in row.classes, "healed" in row.classes) for row in tied] == [(True, False), (False, True)]
    assert {bar.attributes["data-event"] for bar in page.all(cls="bar")} == {"4"}


def test_time_in_which_nothing_happened_is_cut_out_and_said(page: Element):
    assert [gap.text() for gap in page.all(cls="gap")] == ["… 1 min 1 s", "… 18 s", "… 18.5 s"]
    (first, *_) = page.all(cls="wait")
    assert first.attributes["style"] == "height:6px"


def test_the_page_needs_nothing_from_elsewhere():
    page = timeline_page(STORY, PLAN, "Missing records")
    root = parsed(page)
    assert not root.all("link") + root.all("img") + root.all("iframe") + root.all("use")
    for element in root.all():
        assert not {"src", "href", "xlink:href"} & set(element.attributes), element.tag
    assert not re.search(r"url\(|@import|https?://|//[a-z]", "".join(style.text() for style in root.all("style")))
    policy = root.all("meta", http_equiv="Content-Security-Policy")[0].attributes["content"]
    assert policy.startswith("default-src 'none';")
    assert "$" not in page.replace(root.all("script")[0].text(), "")


HOSTILE = "</script><script>alert(1)</script><b x='\"y\"'>&amp; $style ]]>"


@pytest.mark.parametrize("whole", [False, True])
def test_what_a_run_says_is_never_markup(whole: bool):
    plan = Plan(
        seed=1,
        hours=1,
        nodes=(PlannedNode("cloud", "cloud"), PlannedNode(HOSTILE, "site", HOSTILE)),
        limits={HOSTILE: 1},
        events=(Event(1, 1.0, HOSTILE, HOSTILE, for_s=2.0),),
    )
    history = History(["cloud", HOSTILE])
    history.records += [Step(5.0, HOSTILE, kind, HOSTILE, event=1, until_s=9.0) for kind in get_args(StepKind)]
    history.records += [Message(6.0, "cloud", HOSTILE, f"GET /{HOSTILE}", None, fate=HOSTILE)]
    history.records += [Message(n * 10.0, HOSTILE, "cloud", f"GET /{HOSTILE}", n * 10.0 + 2) for n in range(30)]
    root = parsed(timeline_page(history, plan, HOSTILE, whole=whole))
    assert len(root.all("script")) == 1
    assert root.all(x="'\"y\"'") == []
    assert not [b for b in root.all("b") if "x" in b.attributes]
    assert root.all("h1")[0].text() == HOSTILE
    assert sum(HOSTILE in row.text() for row in root.all(cls="row")) >= 7
    assert any(bar.attributes["title"] == HOSTILE for bar in root.all(cls="bar"))


def test_kinds_of_messages_that_are_rare_share_a_colour():
    messages = [
        Message(float(n), "eu", "cloud", f"GET /v1/kind-{kind}/x", n + 0.1)
        for n, kind in enumerate([*range(9), 8, 7, 6, 5, 4])
    ]
    root = parsed(timeline_page(history_of(*messages, Step(20.0, "eu", "violation", "x")), PLAN, "t", whole=True))
    chips = [chip.text() for chip in root.all(cls="chip")]
    assert chips == ["kind-4/x", "kind-5/x", "kind-6/x", "kind-7/x", "kind-8/x", "other messages"]
    assert row_with(root, "/kind-0/").attributes["data-kind"] == "path-5"


def test_an_answer_without_a_path_is_a_kind_of_its_own():
    root = parsed(timeline_page(history_of(Message(1.0, "cloud", "eu", "200 58 B", 1.1)), PLAN, "t"))
    assert [chip.text() for chip in root.all(cls="chip")] == ["answers"]


def test_a_run_of_which_nothing_is_known_has_a_page():
    root = parsed(timeline_page(history_of(), PLAN.with_events(()), "t"))
    assert root.all(cls="verdict")[0].text() == "No violation."
    assert "hidden" not in root.all(cls="nothing")[0].attributes


records = st.one_of(
    st.builds(
        Step,
        st.floats(0, 500),
        st.sampled_from(["cloud", "plant-a", "nobody", TREE]),
        st.sampled_from(["work", "fault", "healed", "life", "check", "violation"]),
        st.text(),
        st.none() | st.integers(0, 5),
        st.none() | st.floats(0, 600),
    ),
    st.builds(
        Message,
        st.floats(0, 500),
        st.sampled_from(["cloud", "plant-a"]),
        st.sampled_from(["plant-b", "cloud"]),
        st.text(),
        st.none() | st.floats(500, 600),
    ),
)


@given(st.lists(records, max_size=30), st.booleans())
def test_any_history_makes_a_page_that_is_well_formed(all_records: list[Step | Message], whole: bool):
    page = parsed(timeline_page(history_of(*all_records), PLAN, "t", whole=whole))
    violations = [record for record in all_records if isinstance(record, Step) and record.kind == "violation"]
    assert len(page.all("div", cls="violation")) == len(violations)
