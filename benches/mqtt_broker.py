"""Littoral's MQTT broker with one rule, as the hub runs it: uvloop, and the store on a disk.

python -m benches.mqtt_broker PORT DIRECTORY
"""

import asyncio
import signal
import sys
from pathlib import Path

import msgspec
import uvloop

from littoral.core.limits import Limits
from littoral.core.resources import Rule
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.mqtt import MqttListener
from littoral.drivers.random import SystemRandom
from littoral.iot.broker import Broker
from littoral.iot.rule_engine import RuleEngine
from littoral.store.store import open_store
from littoral.store.writer import ThreadWriter

RULE = {
    "apiVersion": "littoral/v1",
    "kind": "Rule",
    "metadata": {"name": "bench"},
    "spec": {
        "source": {"mqtt": {"topic": "site/#"}},
        "value": {"path": "v"},
        "timestamp": {"path": "ts", "unit": "s"},
        "window": {"tumbling": "1m", "allowedLateness": "1h"},
        "aggregates": ["count", "min", "max", "mean", "stddev"],
    },
}


def fail(error: BaseException) -> None:
    raise SystemExit(f"a background task ended: {error!r}")


async def serve(port: int, directory: Path) -> None:
    limits, clock = Limits(), SystemClock()
    store = open_store("bench", LocalDisk(directory), clock, SystemRandom(), limits, ThreadWriter(limits))
    engine = RuleEngine(store, limits, clock.wall_ms, fail)
    broker = Broker(engine, clock, limits, lambda *_: True, Tasks(fail))
    engine.attach(broker.publish, broker.routes_changed)
    engine.apply({"bench": (msgspec.convert(RULE, Rule), "1")})
    listener = MqttListener(broker)
    await listener.start(listen_tcp(f"127.0.0.1:{port}"))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await listener.stop()
    await engine.stop()
    await store.close()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
