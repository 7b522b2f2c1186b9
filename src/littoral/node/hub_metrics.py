"""The hub's parts as Prometheus metrics. Names are documented in docs/reference/metrics.md."""

from collections.abc import Iterator
from typing import Literal

from littoral.core.limits import Limits
from littoral.iot.broker_counters import BrokerCounters
from littoral.node.status import BudgetStatus, LinkStatus, NodeStatus, SpillStatus
from littoral.store.store import StoreCounters
from littoral.streams.subscriptions.service import SubscriptionState
from littoral.telemetry.metrics import Family, Sample


def status_metrics(status: NodeStatus) -> Iterator[Family]:
    """What the status report says, as metrics."""
    yield _one("littoral_up", "gauge", "1 while the hub runs.", 1)
    yield _one("littoral_hub_memory_bytes", "gauge", "Resident memory of the hub.", status.memory_bytes)
    yield _one("littoral_hub_start_time_seconds", "gauge", "When the hub started.", status.started_ms / 1000)
    yield _one("littoral_streams", "gauge", "Streams in the store.", status.streams)
    yield _one(
        "littoral_dead_letters",
        "counter",
        "Records put aside because they could not be applied.",
        status.dead_letters_ever,
    )
    yield _one(
        "littoral_dead_letters_open",
        "gauge",
        "Of those, neither retried with success nor dropped.",
        status.dead_letters,
    )
    yield _one("littoral_children", "gauge", "Enrolled children.", len(status.children))
    yield _one("littoral_children_connected", "gauge", "Children that hold a channel.", len(status.connected))
    yield _one("littoral_mqtt_publishes", "counter", "MQTT messages taken in.", status.readings)
    yield _one("littoral_mqtt_clients", "gauge", "MQTT clients connected.", status.clients)
    if status.spill is not None:
        yield from _spill(status.spill)
    if status.link is not None:
        link = status.link
        yield _one(
            "littoral_uplink_connected", "gauge", "1 while the node is in session with its parent.", link.connected
        )
        yield _one("littoral_uplink_sessions", "counter", "Sessions begun.", link.sessions)
        yield _one("littoral_uplink_shipped_records", "counter", "Records the parent took over.", link.shipped_records)
        yield _one("littoral_uplink_shipped_bytes", "counter", "Bytes of answered frames.", link.shipped_bytes)
        yield _one(
            "littoral_uplink_followed_records", "counter", "Records taken over from the parent.", link.followed_records
        )
        yield _one(
            "littoral_uplink_blocked_streams", "gauge", "Streams the parent cannot take over.", len(link.blocked)
        )
        yield _one(
            "littoral_uplink_held_streams", "gauge", "Streams the parent has no room for at present.", len(link.held)
        )
        yield from _snapshots(link)
        if link.budget is not None:
            yield from _budget(link.budget)
    yield from _lanes(status)
    yield from _rules(status)
    yield from _apps(status)


def store_metrics(counters: StoreCounters) -> Iterator[Family]:
    """What the store counts."""
    yield _one("littoral_store_commits", "counter", "Synced group commits.", counters.commits)
    yield _one("littoral_store_jobs", "counter", "Jobs in them.", counters.jobs)
    yield _one("littoral_appended_records", "counter", "Records appended to own streams.", counters.appended_records)
    yield _one(
        "littoral_replicated_records", "counter", "Records of other nodes' streams stored.", counters.replicated_records
    )


def subscription_metrics(state: SubscriptionState) -> Iterator[Family]:
    """What is known of subscriptions to streams."""
    counters = state.counters
    yield _one("littoral_subscriptions", "gauge", "Subscriptions to streams.", state.total)
    yield _one("littoral_subscriptions_failing", "gauge", "Of those, the last try to wake failed.", state.failing)
    yield _one("littoral_subscriptions_waking", "gauge", "Of those, being woken now.", state.waking)
    yield _one("littoral_subscription_wakes", "counter", "Wakes that the node began.", counters.wakes)
    yield _one("littoral_webhooks_delivered", "counter", "Webhooks answered with 2xx.", counters.delivered)
    yield _one(
        "littoral_subscription_failures", "counter", "Tries to wake that failed, by either way.", counters.failed
    )
    yield _one(
        "littoral_subscription_leases_expired", "counter", "Wakes that nobody finished in time.", counters.expired
    )


def kv_metrics(forgotten: int, refused: int, dropped: int) -> Iterator[Family]:
    """What is counted of deletions that are long past."""
    yield _one("littoral_kv_forgotten_tombstones", "counter", "Tombstones older than kv-tombstone-seconds.", forgotten)
    yield _one(
        "littoral_kv_refused_writes",
        "counter",
        "Late writes of children's to keys that may have been deleted since; they are in the dead letters.",
        refused,
    )
    yield _one(
        "littoral_kv_dropped_entries", "counter", "Entries found deleted after this node had been away.", dropped
    )


def broker_metrics(counters: BrokerCounters) -> Iterator[Family]:
    """What the broker counts."""
    yield _one("littoral_mqtt_received_bytes", "counter", "Bytes read from MQTT clients.", counters.received_bytes)
    yield _one("littoral_mqtt_stored", "counter", "QoS 1 publishes stored and acknowledged.", counters.stored)
    yield _one(
        "littoral_mqtt_store_failures",
        "counter",
        "Batches of QoS 1 publishes that could not be stored and were not acknowledged.",
        counters.store_failures,
    )
    yield _one("littoral_mqtt_dropped", "counter", "Messages dropped for slow or absent subscribers.", counters.dropped)
    yield _one("littoral_mqtt_refused", "counter", "Connections refused.", counters.refused)
    closed = [Sample(float(count), {"reason": reason}) for reason, count in counters.closed.items()]
    yield Family("littoral_mqtt_closed", "counter", "Connections closed, by reason.", closed)


def limit_metrics(limits: Limits) -> Iterator[Family]:
    """How often each limit was reached."""
    samples = [Sample(float(count), {"limit": name}) for name, count in limits.reached.items()]
    yield Family("littoral_limit_reached", "counter", "How often a limit was reached; see limits.md.", samples)


def _lanes(status: NodeStatus) -> Iterator[Family]:
    depth = [Sample(lane.records, {"lane": name}) for name, lane in status.lanes.items()]
    yield Family("littoral_uplink_queue_records", "gauge", "Records waiting to be sent.", depth)
    age = [
        Sample(max(0, status.at_ms - lane.oldest_ms) / 1000 if lane.oldest_ms else 0, {"lane": name})
        for name, lane in status.lanes.items()
    ]
    yield Family("littoral_uplink_oldest_record_age_seconds", "gauge", "Age of the oldest record waiting.", age)

    expired = [Sample(lane.expired, {"lane": name}) for name, lane in status.lanes.items()]
    text = "Records that were not sent because they were older than spec.parent.ttl."
    yield Family("littoral_uplink_expired_records", "counter", text, expired)
    shipped = [Sample(lane.records_s, {"lane": name}) for name, lane in status.lanes.items()]
    yield Family(
        "littoral_uplink_shipped_records_per_second", "gauge", "Records shipped, averaged over about 30 s.", shipped
    )
    carried = [Sample(lane.bytes_s, {"lane": name}) for name, lane in status.lanes.items()]
    yield Family(
        "littoral_uplink_shipped_bytes_per_second", "gauge", "Payload bytes shipped, averaged over about 30 s.", carried
    )
    empty = [Sample(lane.empty_s, {"lane": name}) for name, lane in status.lanes.items() if lane.empty_s is not None]
    yield Family(
        "littoral_uplink_queue_empty_seconds",
        "gauge",
        "Until nothing waits, if it goes on so; missing while the queue does not shrink.",
        empty,
    )


def _spill(spill: SpillStatus) -> Iterator[Family]:
    yield _one("littoral_spill_files", "gauge", "Files in the spill directory.", spill.files)
    yield _one("littoral_spill_bytes", "gauge", "Bytes of these files.", spill.bytes)
    yield _one(
        "littoral_spill_moved_bytes", "counter", "Payload bytes moved to the spill directory.", spill.moved_bytes
    )
    yield _one(
        "littoral_spill_refused", "gauge", "1 while nothing can be moved to the spill directory.", bool(spill.refused)
    )


def _snapshots(link: LinkStatus) -> Iterator[Family]:
    text = "Chunks of snapshots taken over from the parent."
    yield _one("littoral_uplink_snapshot_chunks", "counter", text, link.snapshot_chunks)
    text = "Chunks that were not what their digests said, and were asked for again."
    yield _one("littoral_uplink_snapshot_chunks_refused", "counter", text, link.refused_chunks)
    text = "Snapshots that went on where a cut or a restart had left them."
    yield _one("littoral_uplink_snapshots_resumed", "counter", text, link.resumed_snapshots)
    text = "Records of a restored store that were put aside, for the parent has others in their place."
    yield _one("littoral_uplink_put_aside_records", "counter", text, link.put_aside_records)
    text = "Records that a restored store lacked and got back from the parent."
    yield _one("littoral_uplink_fetched_back_records", "counter", text, link.fetched_back_records)


def _budget(budget: BudgetStatus) -> Iterator[Family]:
    used = [Sample(size, {"period": period}) for period, size in budget.used.items()]
    yield Family("littoral_uplink_budget_used_bytes", "gauge", "Carried in the present UTC day and month.", used)
    most = [Sample(size, {"period": period}) for period, size in budget.most.items()]
    yield Family("littoral_uplink_budget_bytes", "gauge", "What a UTC day and month may carry.", most)
    exhausted = budget.state == "exhausted"
    yield _one("littoral_uplink_budget_exhausted", "gauge", "1 while the budget of a day or month is spent.", exhausted)
    text = "Bytes of both directions, with an estimate of what HTTP and TLS add."
    yield _one("littoral_uplink_budget_carried_bytes", "counter", text, budget.carried_bytes)
    text = "How long what was sent has waited for the rate."
    yield _one("littoral_uplink_budget_waited_seconds", "counter", text, budget.waited_s)


def _rules(status: NodeStatus) -> Iterator[Family]:
    texts = {
        "readings": "Readings folded.",
        "windows": "Windows emitted.",
        "alerts": "Anomalies found.",
        "duplicates": "Readings recognised as seen before.",
        "late": "Readings for a window already emitted.",
        "undecodable": "Readings that could not be decoded.",
    }
    for field, text in texts.items():
        samples = [Sample(getattr(rule, field), {"rule": name}) for name, rule in status.rules.items()]
        yield Family(f"littoral_rule_{field}", "counter", text, samples)
    behind = [Sample(rule.behind, {"rule": name}) for name, rule in status.rules.items()]
    yield Family("littoral_rule_behind_records", "gauge", "Stored readings not yet folded.", behind)


def _apps(status: NodeStatus) -> Iterator[Family]:
    workers = [Sample(app.workers, {"app": name}) for name, app in status.apps.items()]
    yield Family("littoral_function_workers", "gauge", "Workers ready.", workers)
    starts = [Sample(app.starts, {"app": name}) for name, app in status.apps.items()]
    yield Family("littoral_function_starts", "counter", "Workers started.", starts)
    restarts = [Sample(app.restarts, {"app": name}) for name, app in status.apps.items()]
    yield Family(
        "littoral_function_restarts", "counter", "Workers that ended unasked and were started again.", restarts
    )


def _one(name: str, kind: Literal["counter", "gauge"], text: str, value: float) -> Family:
    return Family(name, kind, text, [Sample(float(value))])
