"""Drawing a plan from a seed: the tree, its settings, the work, and the faults of one run.

Swarm testing (A. Groce et al., "Swarm Testing", ISSTA 2012): each run leaves some kinds of fault out, and is hard or easy
as a whole, for a kind that is always on may keep another's consequences from being seen.
"""

import msgspec

from littoral.core.resources.model import BudgetPolicy
from littoral.testing.random import SeededRandom
from littoral.testing.simulation.faults import FAULTS
from littoral.testing.simulation.plan import Event, Plan, PlannedNode
from littoral.testing.simulation.restoring import LATER_S, RESTORING_S
from littoral.testing.simulation.work import WORK
from littoral.testing.simulation.world import LOSSES

LEAST_FAULTS = 20
LEAST_ACKNOWLEDGED = 500
"""What a run must have done to count."""
FAULTS_DRAWN = (26, 40)
"""More than LEAST_FAULTS: some find their target in no state for them."""
WORK_DRAWN = (29, 37)
BEGIN_S = 20.0
"""By when the first nodes have enrolled, without faults."""
POLICIES: tuple[BudgetPolicy | None, ...] = (None, "drop-oldest", "reject", "spill")
BUDGETS_BYTES = (4_000, 10_000)
"""A few appends, or some more."""
TTLS_S = (0, 60, 300)
CUT_MOST_S = 450.0
"""Of the link above a node that has a budget or a TTL: longer than that."""
BANDWIDTHS = (1 << 10, 4 << 10, 16 << 10)
"""Bytes per second: from one at which a session takes seconds to open to one that is seldom noticed."""
QUIET_PART = 0.25
"""The last part of a run, in which everything heals and is checked."""


def draw_plan(seed: int, nodes: int = 8, hours: float = 1.0) -> Plan:
    """The plan of a seed: the same on every machine. nodes: at least 2; hours: virtual."""
    random = SeededRandom(f"plan/{seed}")
    planned = _draw_bandwidths(random.fork("bandwidths"), _draw_nodes(random, nodes, hours))
    planned = _draw_encryption(random.fork("encryption"), planned)
    until_s = hours * 3600 * (1 - QUIET_PART)
    work = _draw_work(random, planned, until_s)
    work += _draw_around_losses(random.fork("losses"), planned, work, until_s)
    planned, bounded = _draw_bounds(random.fork("bounds"), planned, work, until_s)
    work += bounded
    events = [*work, *_draw_faults(random, planned, work, until_s)]
    events.sort(key=lambda event: event.at_s)
    numbered = tuple(
        Event(number, event.at_s, event.kind, event.target, event.for_s, event.count, event.amount)
        for number, event in enumerate(events)
    )
    return Plan(
        seed=seed,
        hours=hours,
        nodes=planned,
        limits=_draw_limits(random),
        status_interval=random.choice(("5m", "10m", "20m")),
        link_delay_s=random.choice((0.0, 0.01, 0.08, 0.3)),
        events=numbered,
    )


def _draw_nodes(random: SeededRandom, count: int, hours: float) -> tuple[PlannedNode, ...]:
    """A root, some regions, and sites below either."""
    regions = random.randint(1, max(1, (count - 1) // 3)) if count > 2 else 0
    nodes = [PlannedNode("cloud", "cloud")]
    nodes += [PlannedNode(f"region-{place}", "region", "cloud") for place in range(1, regions + 1)]
    late = random.randrange(1, count - regions) if random.chance(0.5) else 0
    for place in range(1, count - regions):
        above = random.choice([node.name for node in nodes if node.tier != "site"])
        joins_s = random.uniform(60.0, hours * 1800) if place == late else 0.0
        nodes.append(PlannedNode(f"site-{place}", "site", above, joins_s))
    return tuple(nodes)


def _draw_bandwidths(random: SeededRandom, nodes: tuple[PlannedNode, ...]) -> tuple[PlannedNode, ...]:
    """In some runs, for some of the nodes."""
    if not random.chance(0.4):
        return nodes
    return tuple(
        msgspec.structs.replace(node, bandwidth=random.choice(BANDWIDTHS))
        if node.parent and random.chance(0.5)
        else node
        for node in nodes
    )


def _draw_encryption(random: SeededRandom, nodes: tuple[PlannedNode, ...]) -> tuple[PlannedNode, ...]:
    """In some runs, for some of the nodes."""
    if not random.chance(0.2):
        return nodes
    return tuple(msgspec.structs.replace(node, encrypted=random.chance(0.4)) for node in nodes)


def _draw_limits(random: SeededRandom) -> dict[str, int]:
    """Small batches and frames make many; a short memory of deletions makes them forgotten within the run."""
    limits: dict[str, int] = {}
    if random.chance(0.4):
        limits["batch-records"] = random.choice((1, 3, 10))
    if random.chance(0.4):
        limits["uplink-batch-bytes"] = random.choice((500, 5000))
    if random.chance(0.3):
        limits["read-bytes"] = random.choice((500, 5000))
    if random.chance(0.5):
        limits["kv-tombstone-seconds"] = random.choice((30, 300))
    return limits


def _draw_work(random: SeededRandom, nodes: tuple[PlannedNode, ...], until_s: float) -> list[Event]:
    events = []
    names, weights = list(WORK), [kind.weight for kind in WORK.values()]
    places = {"node": nodes, "child": nodes[1:], "site": [node for node in nodes if node.tier == "site"] or nodes}
    for _ in range(random.randint(*WORK_DRAWN)):
        name = random.choices(names, weights)[0]
        kind = WORK[name]
        node = random.choice(places[kind.where])
        at_s = random.uniform(max(BEGIN_S, node.joins_s), until_s)
        count = random.randint(1 + kind.most // 2, kind.most) if kind.most > 1 else kind.most
        events.append(Event(0, at_s, name, node.name, count=count, amount=random.uniform(0.0, 0.9)))
    return events


def _draw_around_losses(
    random: SeededRandom, nodes: tuple[PlannedNode, ...], work: list[Event], until_s: float
) -> list[Event]:
    """Where a store is to be lost something is going on at that time, and its node is cut off: otherwise all that was in it
    would be with the parent already."""
    events = []
    sites = {node.name for node in nodes if node.tier == "site"}
    for loss in (event for event in work if event.kind in LOSSES):
        at_s = min(until_s, loss.at_s + loss.amount * LATER_S)
        cut_s = max(loss.at_s, at_s - random.uniform(0.0, 20.0))
        for_s = min(random.uniform(5.0, 2 * RESTORING_S), max(1.0, until_s - cut_s))
        events.append(Event(0, cut_s, "partition", loss.target, for_s))
        for kind in ("append", "write", "publish") if loss.target in sites else ("append", "write"):
            begin_s = random.uniform(cut_s, cut_s + for_s)
            events.append(Event(0, begin_s, kind, loss.target, count=random.randint(5, 20), amount=0.3))
    return events


def _draw_bounds(
    random: SeededRandom, nodes: tuple[PlannedNode, ...], work: list[Event], until_s: float
) -> tuple[tuple[PlannedNode, ...], list[Event]]:
    """In some runs, one node or two have budgets, or send nothing that is old; and while such a node is cut off, there or
    below it more is written than it may hold."""
    if not random.chance(0.3):
        return nodes, []
    # A backup has no spill files.
    losing = {event.target for event in work if event.kind in LOSSES}
    events = []
    for place in {random.randrange(len(nodes)) for _ in range(2)}:
        node = nodes[place]
        policies = [policy for policy in POLICIES if policy != "spill" or node.name not in losing]
        node = msgspec.structs.replace(
            node,
            policy=random.choice(policies),
            budget_bytes=random.choice(BUDGETS_BYTES),
            ttl_s=random.choice(TTLS_S) if node.parent else 0,
        )
        nodes = (*nodes[:place], node, *nodes[place + 1 :])
        events += _draw_around_bounds(random, nodes, node, until_s)
    return nodes, events


def _draw_around_bounds(
    random: SeededRandom, nodes: tuple[PlannedNode, ...], node: PlannedNode, until_s: float
) -> list[Event]:
    source = random.choice([each for each in nodes if node.name in (each.name, each.parent)])
    cut_s = random.uniform(max(BEGIN_S, source.joins_s), until_s)
    for_s = min(random.uniform(10.0, CUT_MOST_S), max(1.0, until_s - cut_s))
    events = [Event(0, cut_s, "partition", node.name, for_s)] if node.parent else []
    if node.policy == "spill":
        fault = random.choice(("spill-place-failing", "spill-place-read-only"))
        events.append(Event(0, random.uniform(cut_s, cut_s + for_s), fault, node.name, random.uniform(1.0, 60.0)))
    for _ in range(2):
        at_s = random.uniform(cut_s, cut_s + for_s / 2)
        events.append(Event(0, at_s, "pour", source.name, count=random.randint(20, 40)))
    return events


def _draw_faults(
    random: SeededRandom, nodes: tuple[PlannedNode, ...], work: list[Event], until_s: float
) -> list[Event]:
    """Half of them where and when something is being done: at other times most would meet nothing."""
    kinds = [kind for kind in FAULTS if random.chance(0.5)] or list(FAULTS)
    hardness = random.random()
    events = []
    for _ in range(random.randint(*FAULTS_DRAWN)):
        kind = random.choice(kinds)
        fault = FAULTS[kind]
        size = fault.draw(random, hardness)
        beside = random.choice(work)
        if random.chance(0.5):
            at_s = min(until_s, beside.at_s + random.uniform(-1.0, 2.0))
            target = beside.target
        else:
            # From the first moment on: a node may die while it enrols.
            at_s = random.uniform(0.0, until_s if random.chance(0.8) else BEGIN_S)
            target = random.choice(nodes).name
        if fault.where == "tree" or (fault.where == "child" and target == nodes[0].name):
            target = nodes[0].name if fault.where == "tree" else random.choice(nodes[1:]).name
        for_s = min(size.for_s, max(1.0, until_s - at_s))
        events.append(Event(0, at_s, kind, target, for_s, size.count, size.amount))
    return events
