"""Writes docs/reference/metrics.md from what a node's sources say. `make docs` runs it; a test fails when the page is old.

A root, a site with a rule and an app, and one gateway's report stand in for all nodes: every family is named by one of
them.
"""

from collections.abc import Iterable
from pathlib import Path

from littoral.core.lanes import LANES
from littoral.core.limits import Limits
from littoral.drivers.clock import SystemClock
from littoral.functions.meters import FunctionMeter
from littoral.gateway.meters import Meters
from littoral.iot.broker_counters import BrokerCounters
from littoral.iot.topic_values import TopicValues
from littoral.node.app_figures import figure_families
from littoral.node.app_messages import AppFigures
from littoral.node.bridge_metrics import bridge_metrics
from littoral.node.control_messages import GatewayReport
from littoral.node.cron import CronStatus
from littoral.node.egress_meters import EgressMeter, EgressReport, egress_metrics
from littoral.node.event_metrics import cron_metrics, queue_metrics
from littoral.node.gateway_metrics import GatewayMetrics
from littoral.node.hub_metrics import (
    blob_metrics,
    broker_metrics,
    global_message_metrics,
    inbox_metrics,
    kv_metrics,
    limit_metrics,
    status_metrics,
    store_metrics,
    subscription_metrics,
    topic_metrics,
)
from littoral.node.inbox import InboxCounters
from littoral.node.inference_meters import InferenceMeter, InferenceReport, inference_metrics
from littoral.node.mqtt_authenticator import OUTCOMES, login_families
from littoral.node.mqtt_messages import BridgeState
from littoral.node.queue_desk import QueueStatus
from littoral.node.status import (
    AppStatus,
    BlobStatus,
    BudgetStatus,
    LaneStatus,
    LinkStatus,
    NodeStatus,
    RuleStatus,
    SpillStatus,
)
from littoral.store.blob_uploads import BlobCounters
from littoral.store.store import StoreCounters
from littoral.streams.subscriptions.dispatcher import Counters
from littoral.streams.subscriptions.service import SubscriptionState
from littoral.telemetry.metrics import Family, Histogram

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "metrics.md"

HEAD = """\
# Metrics

`GET /metrics` of a node's API listener answers in the Prometheus text format, without a token. Counters begin at zero
when the hub starts, except those of the gateways, which begin with each gateway process and are added up. No label takes
its values from what clients send.

This page is written by `make docs`.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def example_status() -> NodeStatus:
    """A node with one of everything."""
    return NodeStatus(
        node="plant-a",
        tier="site",
        version="",
        at_ms=0,
        started_ms=0,
        lineage="",
        link=LinkStatus(
            "eu",
            connected=True,
            since_ms=0,
            last_error="",
            sessions=1,
            shipped_records=0,
            shipped_bytes=0,
            followed_records=0,
            budget=BudgetStatus(
                "free",
                until_ms=None,
                stops=False,
                rate=None,
                used={"day": 0},
                most={"day": 0},
                carried_bytes=0,
                waited_s=0.0,
            ),
        ),
        lanes={lane: LaneStatus(0, None, empty_s=0.0) for lane in LANES},
        children=[],
        connected=[],
        readings=0,
        clients=0,
        rules={"machine": RuleStatus(0, 0, 0, 0, 0, 0, 0)},
        apps={"factory": AppStatus("", 1, 1, 0)},
        streams=0,
        dead_letters=0,
        memory_bytes=0,
        spill=SpillStatus(0, 0, 0),
    )


def families() -> Iterable[Family | Histogram]:
    """Every family there is."""
    yield from status_metrics(example_status())
    yield from store_metrics(StoreCounters())
    yield from kv_metrics(0, 0, 0, 0)
    yield from broker_metrics(BrokerCounters(closed={"lost": 1}))
    yield from global_message_metrics(waiting=0, relayed=0, delivered=0, dropped=0, missed=0)
    state = BridgeState("up", "", "connected", 0, None, 0, 0, 0, 0, 0, 0, 0, 0)
    yield from bridge_metrics([state])
    yield from topic_metrics(TopicValues(SystemClock(), Limits()), 0)
    yield from limit_metrics(Limits())
    yield from subscription_metrics(SubscriptionState(0, 0, 0, {}, Counters()))
    yield from inbox_metrics(0, 0, InboxCounters(), 0)
    yield from login_families(dict.fromkeys(OUTCOMES, 0))
    yield from blob_metrics(BlobStatus(), BlobCounters(), 0)
    yield from cron_metrics([CronStatus("shop", "* * * * *", "skip", None)])
    yield from queue_metrics([QueueStatus("work", "shop", 0, 0, 0, 0, 0, 0, 0, 0)])
    gateways = GatewayMetrics()
    meters = Meters()
    meters.observe("factory", 200, 0.001, 5)
    meters.refused["malformed"] = 1
    gateways.take(GatewayReport(0, 1, meters))
    yield from gateways.families()
    figures = {"shop": AppFigures(0, {"r1": FunctionMeter(errors={"exception": 1})}, ends={"idle": 1}, memory_bytes=0)}
    yield from figure_families(figures, {"shop": "r1"})
    egress = egress_metrics()
    egress.take(EgressReport(1, {"factory": EgressMeter()}, 0, 0, {"subrequests": 0}))
    yield from egress.families()
    inference = inference_metrics()
    inference.take(InferenceReport(1, {"factory": InferenceMeter()}, 0, 0, 0, {"inference-queue": 0}))
    yield from inference.families()


def row(family: Family | Histogram) -> str:
    """One line of the table."""
    if isinstance(family, Histogram):
        return f"| `{family.name}` | histogram | {_labels(family.labels)} | {family.help} Seconds. |\n"
    name = family.name + ("_total" if family.kind == "counter" else "")
    labels = family.samples[0].labels if family.samples else {}
    return f"| `{name}` | {family.kind} | {_labels(labels)} | {family.help} |\n"


def _labels(labels: Iterable[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


def page() -> str:
    """The whole page."""
    return HEAD + "".join(sorted({row(family) for family in families()}))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
