"""A broker with its store in a process of its own, that may be killed at any moment: all of a node that MQTT clients see.

python -m tests.support.mqtt_server DIRECTORY DESCRIPTOR

DESCRIPTOR is a listening socket that was inherited.
"""

import socket
import sys
from pathlib import Path

import uvloop

from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk
from littoral.drivers.mqtt import MqttListener
from littoral.drivers.random import SystemRandom
from littoral.iot.access import LoginOnly
from littoral.iot.broker import Broker
from littoral.iot.durable_sessions import DurableSessions
from littoral.iot.rule_engine import RuleEngine
from littoral.store.opening import open_store
from littoral.store.writer import ThreadWriter


def _fail(error: BaseException) -> None:
    raise error


async def _serve(directory: Path, listening: socket.socket) -> None:
    limits, clock = Limits(), SystemClock()
    store = open_store("plant-a", LocalDisk(directory), clock, SystemRandom(), limits, ThreadWriter(limits))
    rules = RuleEngine(store, limits, clock.wall_ms, _fail)
    sessions, tasks = DurableSessions(store, rules), Tasks(_fail)
    broker = Broker(rules, clock, limits, LoginOnly(lambda *_: True), tasks, sessions)
    broker.restore()
    listener = MqttListener(broker)
    tasks.start(sessions.run(), "mqtt sessions")
    await listener.start(listening)
    await store.writer_ended()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))))
