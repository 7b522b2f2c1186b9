"""Plans are cut down to what fails."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.testing.simulation.plan import Event, Plan, PlannedNode
from littoral.testing.simulation.shrink import shrink

NODES = (
    PlannedNode("cloud", "cloud"),
    PlannedNode("eu", "region", "cloud"),
    PlannedNode("plant-a", "site", "eu", joins_s=30.0),
    PlannedNode("plant-b", "site", "eu"),
    PlannedNode("press-1", "device", "plant-b"),
)
KINDS = ("append", "kv-write", "power-cut", "partition", "clock-jump")


def plan_of(*events: Event, hours: float = 2.0) -> Plan:
    return Plan(seed=7, hours=hours, nodes=NODES, events=events)


def many(count: int) -> Plan:
    """Events of all kinds at all nodes, 7 s apart, from when all nodes are on."""
    return plan_of(
        *(
            Event(n, 30.0 + n * 7.25, KINDS[n % 5], NODES[n // 5 % 5].name, for_s=12.5 * (n % 3), count=n % 40)
            for n in range(count)
        )
    )


def in_order(plan: Plan, wanted: list[int]) -> bool:
    """Whether the plan has these events, in this order."""
    numbers = [event.number for event in plan.events]
    return [number for number in numbers if number in wanted] == wanted


class Runs:
    """Says which plans fail, and remembers what it was asked."""

    def __init__(self, fails) -> None:
        self._fails = fails
        self.plans: list[Plan] = []

    def __call__(self, plan: Plan) -> bool:
        self.plans.append(plan)
        return self._fails(plan)


def test_three_events_in_order_are_all_that_stays_of_200():
    runs = Runs(lambda plan: in_order(plan, [23, 78, 161]))
    least = shrink(many(200), runs)
    assert [event.number for event in least.events] == [23, 78, 161]
    assert len(runs.plans) < 120


def test_two_events_of_one_kind_within_ten_seconds():
    def fails(plan: Plan) -> bool:
        cuts = [event.at_s for event in plan.events if event.kind == "power-cut" and event.target == "plant-b"]
        return any(0 < second - first <= 10 for first in cuts for second in cuts)

    close = plan_of(
        *many(100).events, Event(100, 900.0, "power-cut", "plant-b"), Event(101, 908.0, "power-cut", "plant-b")
    )
    least = shrink(close, fails)
    assert len(least.events) == 2
    assert fails(least)


def test_what_is_needed_for_another_event_goes_with_it():
    # Not monotone: the fault alone fails, and so does all, but a write without the read that follows it does not.
    def fails(plan: Plan) -> bool:
        numbers = {event.number for event in plan.events}
        return 50 in numbers and (10 in numbers) == (11 in numbers)

    assert [event.number for event in shrink(many(64), fails).events] == [50]


def test_a_plan_that_fails_without_any_event_keeps_none():
    least = shrink(many(40), lambda plan: True)
    assert least.events == ()
    assert [node.name for node in least.nodes] == ["cloud"]
    assert least.hours == 0


def test_what_stays_is_made_simple():
    def fails(plan: Plan) -> bool:
        by_number = {event.number: event for event in plan.events}
        return (
            {33, 41} <= set(by_number)
            and by_number[33].for_s >= 3
            and by_number[33].count >= 8
            and by_number[41].at_s - by_number[33].at_s >= 20
        )

    plan = many(64)
    plan = plan.with_events(
        tuple(msgspec.structs.replace(event, for_s=400.7, count=64, at_s=event.at_s + 1000) for event in plan.events)
    )
    first, second = shrink(plan, fails).events
    assert (first.number, first.at_s, first.for_s, first.count) == (33, 1.0, 3.0, 8)
    assert (second.number, second.for_s, second.count) == (41, 1.0, 1)
    assert 20 <= second.at_s - first.at_s < 40


def test_nothing_happens_at_a_node_before_it_is_switched_on():
    def fails(plan: Plan) -> bool:
        return in_order(plan, [1, 2])

    plan = plan_of(
        Event(0, 5.5, "append", "cloud"), Event(1, 700.5, "append", "plant-a"), Event(2, 800, "append", "eu")
    )
    runs = Runs(fails)
    assert [event.at_s for event in shrink(plan, runs).events] == [30.0, 31.0]
    assert all(event.at_s >= 30 for tried in runs.plans for event in tried.events if event.target == "plant-a")


def test_nodes_go_when_neither_they_nor_their_children_are_needed():
    plan = plan_of(Event(0, 40.0, "append", "plant-a"))
    assert [node.name for node in shrink(plan, lambda plan: bool(plan.events)).nodes] == ["cloud", "eu", "plant-a"]
    needs_device = Runs(lambda plan: bool(plan.events) and any(node.tier == "device" for node in plan.nodes))
    assert [node.name for node in shrink(plan, needs_device).nodes] == ["cloud", "eu", "plant-a", "plant-b", "press-1"]

    needs_site = Runs(lambda plan: any(node.name == "plant-a" for node in plan.nodes))
    assert [node.name for node in shrink(plan_of(), needs_site).nodes] == ["cloud", "eu", "plant-a"]


def test_the_run_ends_soon_after_the_last_event():
    plan = plan_of(Event(0, 0.0, "partition", "eu", for_s=1.0), hours=100)
    assert shrink(plan, lambda plan: bool(plan.events)).hours == 0.01
    assert 1 <= shrink(plan, lambda plan: bool(plan.events) and plan.hours >= 1).hours < 2


def test_no_plan_is_tried_twice_and_the_answer_is_the_same():
    def fails(plan: Plan) -> bool:
        return in_order(plan, [3, 9]) and plan.hours > 0.3 and len(plan.events) % 3 != 0

    first, second = Runs(fails), Runs(fails)
    plan = many(30)
    assert shrink(plan, first) == shrink(plan, second)
    assert first.plans == second.plans
    encoded = [msgspec.json.encode(tried) for tried in (plan, *first.plans)]
    assert len(set(encoded)) == len(encoded)


@pytest.mark.parametrize("most_trials", [0, 1, 5, 17, 40])
def test_it_stops_at_the_limit_with_the_best_so_far(most_trials: int):
    runs = Runs(lambda plan: in_order(plan, [23, 78, 161]))
    told: list[tuple[int, Plan]] = []
    plan = many(200)
    least = shrink(plan, runs, most_trials, lambda trials, best: told.append((trials, best)))
    assert len(runs.plans) == most_trials
    assert [trials for trials, _ in told] == list(range(1, most_trials + 1))
    assert in_order(least, [23, 78, 161])
    assert least == (told[-1][1] if told else plan)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    times = sorted(draw(st.lists(st.floats(30, 3000), min_size=1, max_size=12)))
    events = [
        Event(
            number,
            at_s,
            draw(st.sampled_from(KINDS)),
            draw(st.sampled_from(NODES)).name,
            draw(st.floats(0, 900)),
            draw(st.integers(0, 99)),
        )
        for number, at_s in enumerate(times)
    ]
    return plan_of(*events)


@st.composite
def failures(draw: st.DrawFn) -> tuple[Plan, frozenset[frozenset[int]], int]:
    """A plan, sets of which one must be there for it to fail, and a number that the sum of events must not divide."""
    plan = draw(plans())
    numbers = st.sampled_from([event.number for event in plan.events])
    causes = draw(st.sets(st.frozensets(numbers, max_size=4), min_size=1, max_size=3))
    return plan, frozenset(causes), draw(st.integers(2, 9))


@given(failures())
def test_the_result_fails_is_a_part_of_the_plan_and_needs_each_of_its_events(
    failure: tuple[Plan, frozenset[frozenset[int]], int],
):
    plan, causes, modulus = failure

    def fails(candidate: Plan) -> bool:
        if candidate == plan:
            return True
        numbers = {event.number for event in candidate.events}
        # The second part is neither monotone nor blind to times, counts and nodes.
        whole = int(sum(event.at_s + event.for_s + event.count for event in candidate.events)) + len(candidate.nodes)
        return any(cause <= numbers for cause in causes) and whole % modulus != 1

    least = shrink(plan, fails, most_trials=10_000)
    assert fails(least)
    assert [event.at_s for event in least.events] == sorted(event.at_s for event in least.events)
    before = {event.number: event for event in plan.events}
    numbers = [event.number for event in least.events]
    assert numbers == [number for number in before if number in numbers]
    for event in least.events:
        old = before[event.number]
        assert (event.kind, event.target, event.amount) == (old.kind, old.target, old.amount)
        assert event.at_s <= old.at_s
        assert event.for_s <= old.for_s
        assert event.count <= old.count
    for place in range(len(least.events)):
        fewer = least.with_events((*least.events[:place], *least.events[place + 1 :]))
        assert not fails(fewer), f"event {place} is not needed"
