"""The hub's parts as Prometheus metrics. Names are documented in docs/reference/metrics.md."""

from collections.abc import Iterator

import msgspec

from littoral.core.limits import Limits
from littoral.iot.broker_counters import BrokerCounters
from littoral.iot.topic_values import TopicValues
from littoral.node.inbox import InboxCounters
from littoral.node.status import BlobStatus, BudgetStatus, LinkStatus, NodeStatus, SpillStatus
from littoral.store.blob_uploads import BlobCounters
from littoral.store.store import StoreCounters
from littoral.streams.subscriptions.service import SubscriptionState
from littoral.telemetry.metrics import Family, Sample, counter, gauge


def status_metrics(status: NodeStatus) -> Iterator[Family]:
    """What the status report says, as metrics."""
    yield gauge("littoral_up", "1 while the hub runs.", 1)
    yield gauge("littoral_hub_memory_bytes", "Resident memory of the hub.", status.memory_bytes)
    yield gauge("littoral_hub_start_time_seconds", "When the hub started.", status.started_ms / 1000)
    yield gauge("littoral_streams", "Streams in the store.", status.streams)
    yield counter(
        "littoral_dead_letters",
        "Records put aside because they could not be applied.",
        status.dead_letters_ever,
    )
    yield gauge(
        "littoral_dead_letters_open",
        "Of those, neither retried with success nor dropped.",
        status.dead_letters,
    )
    yield gauge("littoral_children", "Enrolled children.", len(status.children))
    yield gauge("littoral_children_connected", "Children that hold a channel.", len(status.connected))
    yield counter("littoral_mqtt_publishes", "MQTT messages taken in.", status.readings)
    yield gauge("littoral_mqtt_clients", "MQTT clients connected.", status.clients)
    if status.spill is not None:
        yield from _spill(status.spill)
    if status.link is not None:
        link = status.link
        yield gauge("littoral_uplink_connected", "1 while the node is in session with its parent.", link.connected)
        yield counter("littoral_uplink_sessions", "Sessions begun.", link.sessions)
        yield counter("littoral_uplink_shipped_records", "Records the parent took over.", link.shipped_records)
        yield counter("littoral_uplink_shipped_bytes", "Bytes of answered frames.", link.shipped_bytes)
        yield counter("littoral_uplink_followed_records", "Records taken over from the parent.", link.followed_records)
        yield gauge("littoral_uplink_blocked_streams", "Streams the parent cannot take over.", len(link.blocked))
        yield gauge("littoral_uplink_held_streams", "Streams the parent has no room for at present.", len(link.held))
        yield from _snapshots(link)
        if link.budget is not None:
            yield from _budget(link.budget)
    yield from _lanes(status)
    yield from _rules(status)
    yield from _apps(status)


def store_metrics(counters: StoreCounters) -> Iterator[Family]:
    """What the store counts."""
    yield counter("littoral_store_commits", "Synced group commits.", counters.commits)
    yield counter("littoral_store_jobs", "Jobs in them.", counters.jobs)
    yield counter("littoral_appended_records", "Records appended to own streams.", counters.appended_records)
    yield counter("littoral_replicated_records", "Records of other nodes' streams stored.", counters.replicated_records)


def subscription_metrics(state: SubscriptionState) -> Iterator[Family]:
    """What is known of subscriptions to streams."""
    counters = state.counters
    yield gauge("littoral_subscriptions", "Subscriptions to streams.", state.total)
    yield gauge("littoral_subscriptions_failing", "Subscriptions whose last try to wake failed.", state.failing)
    yield gauge("littoral_subscriptions_waking", "Subscriptions that are being woken now.", state.waking)
    yield counter("littoral_subscription_wakes", "Wakes that the node began.", counters.wakes)
    yield counter("littoral_webhooks_delivered", "Webhooks answered with 2xx.", counters.delivered)
    yield counter("littoral_subscription_failures", "Tries to wake that failed, by either way.", counters.failed)
    yield counter("littoral_subscription_leases_expired", "Wakes that nobody finished in time.", counters.expired)


def kv_metrics(forgotten: int, refused: int, dropped: int, expired: int) -> Iterator[Family]:
    """What is counted of keys that are gone."""
    yield counter("littoral_kv_expired_keys", "Keys whose expiration came, and whose values were removed.", expired)
    yield counter("littoral_kv_forgotten_tombstones", "Tombstones older than kv-tombstone-seconds.", forgotten)
    yield counter(
        "littoral_kv_refused_writes",
        "Late writes of children's to keys that may have been deleted since; they are in the dead letters.",
        refused,
    )
    yield counter("littoral_kv_dropped_entries", "Entries found deleted after this node had been away.", dropped)


def global_message_metrics(
    *, waiting: int, relayed: int, delivered: int, dropped: int, missed: int
) -> Iterator[Family]:
    """What is counted of messages between brokers."""
    yield gauge("littoral_mqtt_global_waiting", "Messages for other nodes that the parent does not have.", waiting)
    yield counter("littoral_mqtt_global_relayed", "Messages taken on their way through the tree.", relayed)
    yield counter("littoral_mqtt_global_delivered", "Messages of other nodes given to this node's clients.", delivered)
    text = "Messages that made room for newer ones before the parent had them."
    yield counter("littoral_mqtt_global_dropped", text, dropped)
    text = "Messages of other nodes that were gone before they came to this node or its clients."
    yield counter("littoral_mqtt_global_missed", text, missed)


def broker_metrics(counters: BrokerCounters) -> Iterator[Family]:
    """What the broker counts."""
    yield counter("littoral_mqtt_received_bytes", "Bytes read from MQTT clients.", counters.received_bytes)
    yield counter("littoral_mqtt_stored", "Publishes of QoS 1 and 2 stored and acknowledged.", counters.stored)
    yield counter(
        "littoral_mqtt_store_failures",
        "Batches of publishes, or of what sessions need, that could not be stored and were not acknowledged.",
        counters.store_failures,
    )
    yield counter("littoral_mqtt_dropped", "Messages dropped for slow or absent subscribers.", counters.dropped)
    yield counter("littoral_mqtt_refused", "Connections refused.", counters.refused)
    yield counter(
        "littoral_mqtt_denied", "Publishes and subscriptions of clients that may not make them.", counters.denied
    )
    closed = [Sample(float(count), {"reason": reason}) for reason, count in counters.closed.items()]
    yield Family("littoral_mqtt_closed", "counter", "Connections closed, by reason.", closed)


def topic_metrics(values: TopicValues, watches: int) -> Iterator[Family]:
    """What is kept for operators who look at topics. watches: how many follow some."""
    yield gauge("littoral_mqtt_topic_values", "Topics whose last value is kept.", len(values))
    yield counter("littoral_mqtt_topic_notes", "Messages noted as the last value of their topic.", values.noted)
    yield gauge("littoral_mqtt_watches", "Operators who follow topics.", watches)


def inbox_metrics(asked: int, taken: int, counters: InboxCounters, expelled: int) -> Iterator[Family]:
    """What waits, and what became of what was asked. asked: messages that wait for nodes below; taken: here."""
    waiting = [Sample(float(asked), {"side": "asked"}), Sample(float(taken), {"side": "taken"})]
    text = "Messages that are not answered: asked of nodes below, and taken from above."
    yield Family("littoral_inbox_waiting", "gauge", text, waiting)
    outcomes: dict[str, int] = msgspec.structs.asdict(counters)
    samples = [Sample(float(count), {"outcome": outcome}) for outcome, count in outcomes.items()]
    yield Family("littoral_inbox_messages", "counter", "Messages from above, by what became of them.", samples)
    yield gauge("littoral_children_expelled", "Children that were expelled, and not let in again.", expelled)


def blob_metrics(status: BlobStatus, counters: BlobCounters, sent_bytes: int) -> Iterator[Family]:
    """What is here of blobs, and what has come and gone."""
    yield gauge("littoral_blobs", "Blobs that are here, or on their way here.", status.count)
    yield gauge("littoral_blobs_bytes", "Bytes of all blobs, whole or coming.", status.bytes)
    yield gauge("littoral_blobs_to_send", "Blobs that wait to go to the parent.", status.to_send)
    yield gauge("littoral_blobs_to_send_bytes", "Bytes of blobs that wait to go to the parent.", status.to_send_bytes)
    yield counter("littoral_blobs_received_bytes", "Bytes added to blobs here.", counters.received_bytes)
    yield counter("littoral_blobs_evicted", "Blobs dropped to make room, which the parent has.", counters.evicted)
    yield counter("littoral_blobs_sent_bytes", "Bytes of blobs that the parent has taken.", sent_bytes)


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
    yield gauge("littoral_spill_files", "Files in the spill directory.", spill.files)
    yield gauge("littoral_spill_bytes", "Bytes of the files in the spill directory.", spill.bytes)
    yield counter("littoral_spill_moved_bytes", "Payload bytes moved to the spill directory.", spill.moved_bytes)
    yield gauge("littoral_spill_refused", "1 while nothing can be moved to the spill directory.", bool(spill.refused))


def _snapshots(link: LinkStatus) -> Iterator[Family]:
    text = "Chunks of snapshots taken over from the parent."
    yield counter("littoral_uplink_snapshot_chunks", text, link.snapshot_chunks)
    text = "Chunks that were not what their digests said, and were asked for again."
    yield counter("littoral_uplink_snapshot_chunks_refused", text, link.refused_chunks)
    text = "Snapshots that went on where a cut or a restart had left them."
    yield counter("littoral_uplink_snapshots_resumed", text, link.resumed_snapshots)
    text = "Records of a restored store that were put aside, for the parent has others in their place."
    yield counter("littoral_uplink_put_aside_records", text, link.put_aside_records)
    text = "Records that a restored store lacked and got back from the parent."
    yield counter("littoral_uplink_fetched_back_records", text, link.fetched_back_records)


def _budget(budget: BudgetStatus) -> Iterator[Family]:
    used = [Sample(size, {"period": period}) for period, size in budget.used.items()]
    yield Family("littoral_uplink_budget_used_bytes", "gauge", "Carried in the present UTC day and month.", used)
    most = [Sample(size, {"period": period}) for period, size in budget.most.items()]
    yield Family("littoral_uplink_budget_bytes", "gauge", "What a UTC day and month may carry.", most)
    exhausted = budget.state == "exhausted"
    yield gauge("littoral_uplink_budget_exhausted", "1 while the budget of a day or month is spent.", exhausted)
    text = "Bytes of both directions, with an estimate of what HTTP and TLS add."
    yield counter("littoral_uplink_budget_carried_bytes", text, budget.carried_bytes)
    text = "How long what was sent has waited for the rate."
    yield counter("littoral_uplink_budget_waited_seconds", text, budget.waited_s)


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
    cold = [Sample(app.cold_starts, {"app": name}) for name, app in status.apps.items()]
    yield Family("littoral_function_cold_starts", "counter", "Workers started while requests waited for them.", cold)
    restarts = [Sample(app.restarts, {"app": name}) for name, app in status.apps.items()]
    yield Family(
        "littoral_function_restarts", "counter", "Workers that ended unasked and were started again.", restarts
    )
