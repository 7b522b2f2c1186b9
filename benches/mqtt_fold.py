"""What a QoS 0 publish costs from the read to the window, without sockets: nanoseconds a message for three folds.

nothing: the broker alone. closure: decode and a window's Welford sums in the variables of one function, the least that
Python does this with. rule: the fold of a rule, as nodes run it.
"""

import math
import time
from collections.abc import Callable, Sequence

import msgspec

from benches.harness import Row
from benches.mqtt_broker import RULE
from benches.mqtt_load import BATCH, frame
from littoral.core.intake import Fold
from littoral.core.limits import Limits
from littoral.core.resources import Rule
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.iot.broker import Broker
from littoral.iot.channel import CallbackChannel
from littoral.iot.rules import CompiledRule
from littoral.wire import mqtt

ROUNDS = 30
REPEATS = 10


class Reading(msgspec.Struct, gc=False):
    """What the rule needs of a payload."""

    v: float
    ts: float


def nothing(_: str) -> Fold:
    return lambda _: None


def closure(_: str) -> Fold:
    """Bounds of the window are in the payload's unit, so that no timestamp is converted; what a window needs when it
    closes (dirty mark, counters, watermark in ms) is worked out from these variables then, not for every reading."""
    decode = msgspec.json.Decoder(Reading).decode
    start, until = 1_699_999_980.0, 1_700_000_039.999
    count, mean, m2, low, high, watermark = 0, 0.0, 0.0, math.inf, -math.inf, 0.0

    def fold(payload: memoryview) -> None:
        nonlocal count, mean, m2, low, high, watermark
        try:
            reading = decode(payload)
        except msgspec.DecodeError:
            return
        ts = reading.ts
        if start <= ts <= until:
            value = reading.v
            count += 1
            delta = value - mean
            mean += delta / count
            m2 += delta * (value - mean)
            if value < low:  # noqa: PLR1730 - min() and max() cost a call for every reading
                low = value
            if value > high:  # noqa: PLR1730
                high = value
            if ts > watermark:  # noqa: PLR1730
                watermark = ts

    return fold


class _Intake:
    def __init__(self, route: Callable[[str], Fold]) -> None:
        self.route = route

    def store(self, records: Sequence[bytes]) -> object:
        raise AssertionError("nothing here is QoS 1")


def _ns(route: Callable[[str], Fold]) -> float:
    def fail(error: BaseException) -> None:
        raise error

    broker = Broker(_Intake(route), SystemClock(), Limits(), lambda *_: True, Tasks(fail))
    connection = broker.connect(CallbackChannel(lambda _: None))
    connection.receive(mqtt.encode(mqtt.Connect("bench", clean_session=True, keep_alive_s=0)))
    data = b"".join(frame(number) for number in range(BATCH))
    best = math.inf
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        for _ in range(REPEATS):
            connection.receive(data)
        best = min(best, time.perf_counter_ns() - began)
    assert broker.counters.received == ROUNDS * REPEATS * BATCH
    return best / REPEATS / BATCH


def measure() -> list[Row]:
    """Rows for the table."""
    clock = SystemClock()
    rule = CompiledRule(msgspec.convert(RULE, Rule), "bench", Limits())
    folds = {"nothing": nothing, "closure": closure, "rule": lambda topic: rule.intake(topic, clock.wall_ms)}
    return [Row(f"MQTT QoS 0 publish, CPU, fold: {name}", _ns(route), "ns") for name, route in folds.items()]
