"""The normative statements of both versions of MQTT by their numbers, and tests of them one by one.

The numbers are those of Appendix B: section and how many it has. What cannot be tested at a broker is in `UNTESTED`, with the
reason.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5, NO_PROPERTIES, Properties, ReasonCode
from tests.support.mqtt_world import Client, World, turn

VERSIONS = {MQTT_3_1_1: "3.1.1", MQTT_5: "5.0"}

_COUNTS = {
    MQTT_3_1_1: (
        "1.5.3:3 2.2.2:2 2.3.1:7 3.1.0:2 3.1.2:24 3.1.3:11 3.1.4:5 3.2.0:1 3.2.2:6 3.3.1:12 3.3.2:3 3.3.4:1 3.3.5:2 3.6.1:1 "
        "3.8.1:1 3.8.3:4 3.8.4:6 3.9.3:2 3.10.1:1 3.10.3:2 3.10.4:6 3.12.4:1 3.14.1:1 3.14.4:3 4.1.0:2 4.3.1:1 4.3.2:2 4.3.3:2 "
        "4.4.0:1 4.5.0:2 4.6.0:6 4.7.1:3 4.7.2:1 4.7.3:4 4.8.0:2 6.0.0:4 7.0.0:2 7.1.1:1 7.1.2:1"
    ),
    MQTT_5: (
        "1.5.4:3 1.5.5:1 1.5.7:1 2.1.3:1 2.2.1:6 2.2.2:1 3.1.0:2 3.1.2:30 3.1.3:12 3.1.4:6 3.2.0:2 3.2.2:22 3.3.1:13 3.3.2:20 "
        "3.3.4:10 3.4.2:3 3.5.2:3 3.6.1:1 3.6.2:3 3.7.2:3 3.8.1:1 3.8.3:5 3.8.4:8 3.9.2:2 3.9.3:2 3.10.1:1 3.10.3:2 3.10.4:6 "
        "3.11.2:2 3.11.3:2 3.12.4:1 3.14.0:1 3.14.1:1 3.14.2:4 3.14.4:3 3.15.1:1 3.15.2:3 4.1.0:2 4.2:1 4.3.1:1 4.3.2:5 4.3.3:13 "
        "4.4.0:2 4.5.0:2 4.6.0:6 4.7.0:1 4.7.1:2 4.7.2:1 4.7.3:4 4.8.2:6 4.9.0:3 4.12.0:7 4.12.1:2 4.13.1:1 4.13.2:1 6.0.0:4"
    ),
}
_NO_STATEMENT = {(MQTT_5, "2.2.1-1")}
"""Numbers that the specification leaves out."""

STATEMENTS = {
    level: [
        f"{section}-{number}"
        for section, count in (each.split(":") for each in counts.split())
        for number in range(1, int(count) + 1)
        if (level, f"{section}-{number}") not in _NO_STATEMENT
    ]
    for level, counts in _COUNTS.items()
}
"""Every number, by protocol level."""

_CLIENT = "only a client can keep it, and a broker cannot see whether it does"
_SUPPORTED = "for servers that lack something that this one has"

UNTESTED = {
    MQTT_3_1_1: {
        "2.3.1-2": _CLIENT,
        "2.3.1-3": _CLIENT,
        "3.1.2-23": _CLIENT,
        "3.8.3-2": _SUPPORTED,
        "3.14.4-1": _CLIENT,
        "4.5.0-2": _CLIENT,
        "7.0.0-1": "for programs that are a server and a client at once; the broker opens no connection",
        "7.0.0-2": "that no extension is needed is shown by clients of other makers: tests/e2e/test_mqtt_clients.py, test_mqtt_js.py",
        "7.1.2-1": _CLIENT,
    },
    MQTT_5: {
        "3.1.2-20": _CLIENT,
        "3.1.2-21": _CLIENT,
        "3.1.3-8": "the broker refuses no client identifier of MQTT 5",
        "3.2.2-4": _CLIENT,
        "3.2.2-5": _CLIENT,
        "3.2.2-9": _SUPPORTED,
        "3.2.2-10": _SUPPORTED,
        "3.2.2-11": _CLIENT,
        "3.2.2-12": _SUPPORTED,
        "3.2.2-13": _SUPPORTED,
        "3.2.2-14": _CLIENT,
        "3.2.2-15": _CLIENT,
        "3.2.2-17": _CLIENT,
        "3.2.2-18": _CLIENT,
        "3.2.2-21": _CLIENT,
        "3.3.2-10": _CLIENT,
        "3.3.4-8": _CLIENT,
        "4.5.0-2": _CLIENT,
        "4.12.0-3": _CLIENT,
    },
}
"""What no test here shows, and why."""

TESTED: dict[int, dict[str, set[str]]] = {MQTT_3_1_1: {}, MQTT_5: {}}
"""The tests of each statement, as far as their modules are imported."""


def states(*, v4: str = "", v5: str = "") -> Callable[[Callable[..., Coroutine[None, None, None]]], object]:
    """A test of these statements of 3.1.1 (v4) and 5.0: it runs once for each, named by it, with `level` in its version."""
    cases = [(MQTT_3_1_1, number) for number in v4.split()] + [(MQTT_5, number) for number in v5.split()]

    def mark(test: Callable[..., Coroutine[None, None, None]]) -> object:
        @functools.wraps(test)
        def once(level, **rest):
            asyncio.run(test(level, **rest))

        for level, number in cases:
            TESTED[level].setdefault(number, set()).add(test.__name__)
        values = [pytest.param(level, id=f"MQTT-{number}_of_{VERSIONS[level]}") for level, number in cases]
        return pytest.mark.parametrize("level", values)(once)

    return mark


def world(**options) -> World:
    """A broker whose disk is done at once."""
    return World(at_once=True, **options)


def join(
    broker_world: World,
    level: int,
    name: str = "c",
    *,
    kept: bool = False,
    present: bool = False,
    will: mqtt.Will | None = None,
    keep_alive_s: int = 0,
    **properties,
) -> Client:
    """A client, connected. kept: its session goes on after the connection, and is taken up where it was. What comes after
    CONNACK is still to be taken."""
    client = Client(broker_world.broker, level)
    if level == MQTT_5 and kept:
        properties.setdefault("session_expiry_s", 1000)
    asked = Properties(**properties) if properties else NO_PROPERTIES
    client.sends(mqtt.Connect(name, not kept, keep_alive_s, will, level=level, properties=asked))
    connack, *rest = client.takes()
    assert isinstance(connack, mqtt.ConnAck)
    assert (connack.session_present, connack.reason) == (present, ReasonCode.SUCCESS), connack
    client.agreed = connack.properties
    client.received = b"".join(mqtt.encode(each, level) for each in rest)
    return client


async def says(client: Client, *packets: mqtt.Packet | bytes) -> list[Any]:
    """What a client is sent for its packets, and what came before."""
    client.sends(*packets)
    await turn()
    return client.takes()


async def messages(client: Client) -> list[bytes]:
    """The payloads that have come to a client."""
    await turn()
    return [each.payload for each in client.takes() if isinstance(each, mqtt.Publish)]


async def ends(client: Client, *packets: mqtt.Packet | bytes) -> ReasonCode | None:
    """The packets end the connection of a client. Returns what it was told: nothing in MQTT 3.1.1."""
    assert not client.closed
    answers = await says(client, *packets)
    assert client.closed, answers
    told = [each for each in answers if isinstance(each, mqtt.Disconnect)]
    assert len(told) == (client.level == MQTT_5), answers
    assert answers[-1:] == told
    return told[0].reason if told else None


# --- Bytes that no encoder of ours would make


def frame(first: int, *parts: bytes) -> bytes:
    """A packet; shorter than 128 bytes."""
    body = b"".join(parts)
    assert len(body) < 128
    return bytes([first, len(body)]) + body


def field(value: bytes) -> bytes:
    """Bytes after their length."""
    return len(value).to_bytes(2, "big") + value


def of_level(level: int, data: bytes = b"\0") -> bytes:
    """Where MQTT 5 has properties, and 3.1.1 nothing."""
    return data if level == MQTT_5 else b""


def connect_bytes(level: int, flags: int, *fields: bytes, name: bytes = b"MQTT") -> bytes:
    """A CONNECT without properties. fields: of its payload, each with its length already."""
    return frame(0x10, field(name), bytes([level, flags]), b"\0\0", of_level(level), *fields)


def refused_bytes(broker_world: World, level: int, data: bytes) -> bytes:
    """The connection of a client that begins with `data` is closed. Returns what it was sent."""
    client = Client(broker_world.broker, level).sends(data)
    assert client.closed
    return client.received
