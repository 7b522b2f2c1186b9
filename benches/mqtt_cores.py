"""What a second process for intake would take off the hub: nanoseconds of processor time a QoS 0 publish, by who does what.

one process: the broker reads and folds, as nodes do. reading alone: what every way leaves to the process that has the socket. handed
over: another process reads, gathers the payloads of a read by topic and hands them over; the hub folds them. folded there: the other
process folds, and the hub gets one record for each topic and report (`REPORT` messages). See ADR 0039.
"""

import math
import time
from collections.abc import Callable, Sequence

import msgspec

from benches.harness import Row
from benches.mqtt_fold import compiled, nothing, publish_ns
from benches.mqtt_load import BATCH, TOPICS, frame
from littoral.core.intake import Fold

REPORT = 100_000
"""Messages between two reports: a tenth of a second at a million a second."""
ROUNDS = 20
READ = 10
"""Payloads of a topic that are handed over together."""

Partial = tuple[str, int, int, float, float, float, float]
"""Topic, window's start, count, sum, sum of squares, least, greatest."""
Gathered = dict[str, list[bytes]]


class _Gatherer:
    """Payloads by topic, in the order of their topics' first."""

    def __init__(self) -> None:
        self.gathered: Gathered = {}

    def route(self, topic: str) -> Fold:
        """The fold of one topic: it only gathers."""
        several = self.gathered.setdefault(topic, [])

        def gather(payload: bytes) -> None:
            if len(several) == READ:
                several.clear()
            several.append(payload)

        return gather


def _best_ns(run: Callable[[], object], messages: int) -> float:
    best = math.inf
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        run()
        best = min(best, time.process_time_ns() - began)
    return best / messages


def _handed_over() -> tuple[float, float]:
    """What the other process takes for a publish, and what the hub takes for what it gets of it."""
    gatherer = _Gatherer()
    other_ns = publish_ns(gatherer.route)
    payloads = 2 * BATCH
    read = _read(payloads)
    encode = msgspec.msgpack.Encoder().encode
    other_ns += _best_ns(lambda: encode(read), payloads)
    message = encode(read)
    decode = msgspec.msgpack.Decoder(Gathered).decode
    route = compiled()
    folds = {topic: route(topic) for topic in read}

    def fold() -> None:
        for topic, several in decode(message).items():
            one = folds[topic]
            for payload in several:
                one(payload)

    return other_ns, _best_ns(fold, payloads)


def _read(messages: int) -> Gathered:
    """What a read of so many messages holds, by topic."""
    gathered: Gathered = {}
    for number in range(messages):
        topic = f"site/line{number % 10}/s{number % TOPICS}/temp"
        whole = frame(number)
        gathered.setdefault(topic, []).append(whole[whole.index(b"{") :])
    return gathered


def _folded_there_ns() -> float:
    """What the hub takes for a publish where it gets sums."""
    partials: Sequence[Partial] = [
        (f"site/s{n}", 1_700_000_000, REPORT // TOPICS, 20.0, 400.0, 19.0, 21.0) for n in range(TOPICS)
    ]
    message = msgspec.msgpack.encode(partials)
    decode = msgspec.msgpack.Decoder(list[Partial]).decode
    sums: dict[tuple[str, int], list[float]] = {}

    def merge() -> None:
        for topic, start, count, total, squares, least, greatest in decode(message):
            known = sums.get((topic, start))
            if known is None:
                sums[topic, start] = [count, total, squares, least, greatest]
                continue
            known[0] += count
            known[1] += total
            known[2] += squares
            known[3] = min(known[3], least)
            known[4] = max(known[4], greatest)

    return _best_ns(merge, REPORT)


def measure() -> list[Row]:
    """Rows for the table."""
    other_ns, hub_ns = _handed_over()
    return [
        Row("MQTT QoS 0 publish, one process: read and folded", publish_ns(compiled()), "ns"),
        Row("MQTT QoS 0 publish, reading alone", publish_ns(nothing), "ns"),
        Row("MQTT QoS 0 publish, handed over: the other process", other_ns, "ns"),
        Row("MQTT QoS 0 publish, handed over: the hub", hub_ns, "ns"),
        Row("MQTT QoS 0 publish, folded there: the hub", _folded_there_ns(), "ns"),
    ]
