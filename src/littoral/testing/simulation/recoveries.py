"""Which ways back a run took, as the nodes themselves count them."""

from collections import Counter

from littoral.node.hub import Hub
from littoral.testing.simulation.bounding import RAW_LANE

TOO_OLD = "record too old to be sent"


def recoveries_of(hub: Hub) -> Counter[str]:
    """What a hub has counted since it was opened."""
    state = hub.uplink.state if hub.uplink is not None else None
    counted = Counter(
        {
            "session begun again": max(0, state.sessions - 1) if state else 0,
            "bootstrap from a snapshot": state.bootstraps if state else 0,
            "key-value said again": state.said_again if state else 0,
            "seconds waited for bandwidth": _waited_s(hub),
            TOO_OLD: hub.uplink.outbox.expired[RAW_LANE] if hub.uplink is not None else 0,
            "byte spilled": hub.retention.spilled_bytes,
            "late write refused": hub.kv_fold.refused_entries,
            "tombstones forgotten": hub.tombstones.forgotten,
            "reading recognised as a duplicate": sum(
                runner.rule.counters.duplicates for runner in hub.rules.runners.values()
            ),
        }
    )
    counted.update({f"batch: {verdict}": count for verdict, count in hub.store.counters.verdicts.items()})
    return +counted


def _waited_s(hub: Hub) -> int:
    budget = hub.uplink.budget if hub.uplink is not None else None
    return int(budget.state.waited_s) if budget is not None else 0
