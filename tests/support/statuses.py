"""Reports of nodes, for tests of what is made of them."""

from collections.abc import Mapping

from littoral.core.lanes import LANES, Lane
from littoral.core.resources import Tier
from littoral.node.status import (
    BudgetStatus,
    GatewayStatus,
    LaneStatus,
    LinkStatus,
    NodeStatus,
    RouteStatus,
    RuleStatus,
)

NOW_MS = 1_700_000_000_000
EXHAUSTED = BudgetStatus(
    state="exhausted",
    until_ms=1_700_006_400_000,
    stops=False,
    rate=256 << 10,
    used={"day": 3 << 20, "month": 70 << 20},
    most={"day": 2 << 20, "month": 1 << 30},
    carried_bytes=3 << 20,
    waited_s=12.5,
)


def status(
    node: str,
    *,
    parent: str | None = None,
    tier: Tier = "site",
    at_ms: int = NOW_MS,
    started_ms: int = 0,
    children: tuple[str, ...] = (),
    away: tuple[str, ...] = (),
    readings: int = 0,
    waiting: dict[Lane, tuple[int, int]] | None = None,
    flow: tuple[float, float | None] = (0.0, None),
    budget: BudgetStatus | None = None,
    problem: str = "",
    dead_letters: int = 0,
    gateway: GatewayStatus | None = None,
    routes: Mapping[str, RouteStatus] = {},
) -> NodeStatus:
    """away: children without a channel. waiting: lane -> records and when the oldest was appended. flow: of these
    lanes, records per second and seconds until empty. problem: of a rule."""
    link = None
    if parent is not None:
        link = LinkStatus(
            parent=parent,
            connected=True,
            since_ms=at_ms - 90_000,
            last_error="",
            sessions=1,
            shipped_records=0,
            shipped_bytes=0,
            followed_records=0,
            budget=budget,
        )
    lanes: dict[Lane, LaneStatus] = dict.fromkeys(LANES, LaneStatus(0, None))
    for lane, (records, oldest_ms) in (waiting or {}).items():
        lanes[lane] = LaneStatus(records, oldest_ms, flow[0], flow[0] * 100, flow[1])
    return NodeStatus(
        node=node,
        tier=tier,
        version="0.1.0",
        at_ms=at_ms,
        started_ms=started_ms,
        lineage="l",
        link=link,
        lanes=lanes,
        children=list(children),
        connected=[child for child in children if child not in away],
        readings=readings,
        clients=0,
        rules={"machine": RuleStatus(0, 0, 0, 0, 0, 0, 0, problem)},
        apps={},
        streams=0,
        dead_letters=dead_letters,
        memory_bytes=0,
        gateway=gateway,
        routes=dict(routes),
    )
