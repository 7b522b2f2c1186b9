"""What a QoS 0 publish costs from the read to the window, without sockets: nanoseconds a message for three folds.

nothing: the broker alone. window: the rule of `mqtt_rules`, as nodes run it. window and detection: the shape of the
demo's rules, which takes the general way.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence

from benches.harness import Row
from benches.mqtt_load import BATCH, frame
from benches.mqtt_rules import STILL, rule
from littoral.core.intake import Fold
from littoral.core.limits import Limits
from littoral.core.order import Order
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.iot.access import LoginOnly
from littoral.iot.broker import Broker
from littoral.iot.channel import CallbackChannel
from littoral.iot.rules import CompiledRule
from littoral.wire import mqtt

ROUNDS = 30
REPEATS = 10


def nothing(_: str) -> Fold:
    return lambda _: None


def compiled(**more: object) -> Callable[[str], Fold]:
    """The folds of a rule; more: members of its spec."""
    wall_ms = SystemClock().wall_ms
    folding = CompiledRule(rule("bench", STILL, **more), "bench", Limits())
    return lambda topic: folding.intake(topic, wall_ms)


class _Intake:
    def __init__(self, route: Callable[[str], Fold]) -> None:
        self.route = route

    def store(self, records: Sequence[bytes], order: Order) -> "asyncio.Future[object]":
        raise AssertionError("nothing here is QoS 1")


def publish_ns(route: Callable[[str], Fold]) -> float:
    """What the broker takes for one publish, with the fold that `route` gives for its topic."""

    def fail(error: BaseException) -> None:
        raise error

    broker = Broker(_Intake(route), SystemClock(), Limits(), LoginOnly(lambda *_: True), Tasks(fail))
    connection = broker.connect(CallbackChannel(lambda _: None))
    connection.receive(mqtt.encode(mqtt.Connect("bench", clean_start=True, keep_alive_s=0)))
    data = b"".join(frame(number) for number in range(BATCH))
    best = math.inf
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(REPEATS):
            connection.receive(data)
        best = min(best, time.process_time_ns() - began)
    assert broker.counters.received == ROUNDS * REPEATS * BATCH
    return best / REPEATS / BATCH


def measure() -> list[Row]:
    """Rows for the table."""
    folds = {
        "nothing": nothing,
        "window": compiled(),
        "window and detection": compiled(detect={"zscore": {"window": 100, "threshold": 5, "minimum": 10}}),
    }
    return [Row(f"MQTT QoS 0 publish, CPU, fold: {name}", publish_ns(route), "ns") for name, route in folds.items()]
