"""Reports of nodes, for tests of what is made of them."""

from littoral.core.lanes import LANES, Lane
from littoral.core.resources import Tier
from littoral.node.status import LaneStatus, LinkStatus, NodeStatus, RuleStatus

NOW_MS = 1_700_000_000_000


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
    problem: str = "",
    dead_letters: int = 0,
) -> NodeStatus:
    """away: children without a channel. waiting: lane -> records and when the oldest was appended. problem: of a rule."""
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
        )
    lanes: dict[Lane, LaneStatus] = dict.fromkeys(LANES, LaneStatus(0, None))
    for lane, (records, oldest_ms) in (waiting or {}).items():
        lanes[lane] = LaneStatus(records, oldest_ms)
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
    )
