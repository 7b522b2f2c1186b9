"""Bridges of a real node to a real mosquitto: both directions, both versions, through restarts of either side."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from littoral.core.resources.mqtt_bridge import MqttBridge, MqttBridgeTls, MqttBridgeTopic
from tests.support.mosquitto import PASSWORD, USER, Client, Mosquitto
from tests.support.real_node import RealNode, until

MESSAGES = 100
"""In each direction, at each QoS."""


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    folder = tmp_path_factory.mktemp("mosquitto")
    (folder / "secret").write_text(f"{PASSWORD}\n", encoding="utf-8")
    with Mosquitto(folder) as broker:
        yield broker


@pytest.fixture(scope="module")
def node(other: Mosquitto) -> Iterator[RealNode]:
    with RealNode("plant") as it:
        it.describe(bridges=[five(other), three(other)])
        yield it.start()


def topics(prefix: str) -> list[MqttBridgeTopic]:
    places = {"local_prefix": "plant/", "remote_prefix": f"{prefix}/"}
    ways: list[Any] = ["out", "in", "both"]
    return [MqttBridgeTopic(filter=f"{prefix}-{way}/#", direction=way, qos=2, **places) for way in ways]


def five(other: Mosquitto, name: str = "five") -> MqttBridge:
    return MqttBridge(
        name=name,
        address=f"127.0.0.1:{other.tls_port}",
        tls=MqttBridgeTls(ca=str(other.folder / "ca.pem")),
        username=USER,
        password_file=str(other.folder / "secret"),
        topics=topics(name),
    )


def three(other: Mosquitto) -> MqttBridge:
    return MqttBridge(name="three", address=f"127.0.0.1:{other.port}", version="3.1.1", topics=topics("three"))


def states(node: RealNode) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in node.api("GET", "/v1/mqtt/bridges").json()["bridges"]}


def connected(node: RealNode, name: str) -> bool:
    state = states(node).get(name)
    return state is not None and state["state"] == "connected"


@pytest.mark.parametrize("name", ["five", "three"])
def test_messages_go_over_by_direction_under_other_names_and_none_comes_back(
    node: RealNode, other: Mosquitto, name: str
):
    node.until(lambda: connected(node, name))
    with (
        Client(node.port("mqtt"), f"near-{name}", f"plant/{name}-both/#") as near,
        Client(node.port("mqtt"), f"near-in-{name}", f"plant/{name}-in/#") as near_in,
        Client(other.port, f"far-{name}", f"{name}/#") as far,
    ):
        for qos in (0, 1, 2):
            near.publish(f"plant/{name}-out/a", b"out %d" % qos, qos)
            near.publish(f"plant/{name}-both/a", b"there %d" % qos, qos)
        there = Counter((f"{name}/{name}-{way}/a", b"%s %d" % (word, qos)) for way, word in WORDS for qos in (0, 1, 2))
        node.until(lambda: Counter(far.heard) >= there)
        # Behind what went there: whatever came back from there would be here before these.
        for qos in (0, 1, 2):
            far.publish(f"{name}/{name}-in/a", b"in %d" % qos, qos)
            far.publish(f"{name}/{name}-both/a", b"back %d" % qos, qos)
        expected_in = Counter((f"plant/{name}-in/a", b"in %d" % qos) for qos in (0, 1, 2))
        node.until(lambda: Counter(near_in.heard) >= expected_in)
        own = Counter(
            (f"plant/{name}-both/a", b"%s %d" % (word, qos)) for word in (b"there", b"back") for qos in (0, 1, 2)
        )
        node.until(lambda: Counter(near.heard) >= own)
        assert Counter(near_in.heard) == expected_in
        assert Counter(near.heard) == own
        # And behind those that came from there, at the other side.
        near.publish(f"plant/{name}-out/a", b"end", 2)
        node.until(lambda: (f"{name}/{name}-out/a", b"end") in far.heard)
        echoed = Counter((f"{name}/{name}-{way}/a", b"%s %d" % (word, qos)) for way, word in SENT for qos in (0, 1, 2))
        assert Counter(far.heard) == there + echoed + Counter([(f"{name}/{name}-out/a", b"end")])


WORDS = (("out", b"out"), ("both", b"there"))
SENT = (("in", b"in"), ("both", b"back"))
"""What the client there publishes itself, and hears once."""


def all_has_come(client: Client, topic: str, messages: int, other: Mosquitto, node: RealNode) -> None:
    """Each message, and those of QoS 2 once."""
    everything = {(f"{topic}{qos}/{number}", b"%d" % number) for number in range(messages) for qos in (1, 2)}
    until(
        lambda: everything <= set(client.heard),
        lambda: f"{sorted(everything - set(client.heard))} are missing\n{node.log()}\n{other.log()}",
    )
    assert set(client.heard) == everything
    again = [name for (name, _), count in Counter(client.heard).items() if count > 1 and name.startswith(f"{topic}2")]
    assert again == [], f"{again} came again\n{node.log()}\n{other.log()}"


@pytest.mark.parametrize("name", ["five", "three"])
def test_nothing_is_lost_and_qos_2_comes_once_though_both_sides_begin_anew(node: RealNode, other: Mosquitto, name: str):
    node.until(lambda: connected(node, name))
    there, here = f"{name}/{name}-out/", f"plant/{name}-in/"
    with (
        Client(node.port("mqtt"), f"writer-{name}") as near_writer,
        Client(node.port("mqtt"), f"reader-{name}", f"{here}#") as near,
        Client(other.port, f"far-writer-{name}") as far_writer,
        # mosquitto 2.0.11 sends again what it has released, if it is begun anew before it is told that this was heard.
        Client(other.port, f"far-reader-{name}", f"{there}#", forgives=True) as far,
    ):
        for number in range(MESSAGES):
            for qos in (1, 2):
                near_writer.publish(f"plant/{name}-out/{qos}/{number}", b"%d" % number, qos)
                far_writer.publish(f"{name}/{name}-in/{qos}/{number}", b"%d" % number, qos)
            if number == MESSAGES // 3:
                until(lambda: far.heard and near.heard)
                node.kill_hub()
            if number == MESSAGES // 2:
                all_has_come(far, there, number + 1, other, node)
                all_has_come(near, here, number + 1, other, node)
                node.until(lambda: states(node)[name]["waiting"] == 0)
            if number == 2 * MESSAGES // 3:
                until(lambda: other.has_released(f"plant-{name}"))
                other.stop()
                other.start()
        all_has_come(far, there, MESSAGES, other, node)
        all_has_come(near, here, MESSAGES, other, node)
    node.until(lambda: states(node)[name]["waiting"] == 0)


def has_heard(client: Client, topic: str, payload: bytes) -> bool:
    return (topic, payload) in client.heard


@pytest.mark.parametrize("version", ["mqttv311", "mqttv50"])
def test_a_mosquitto_may_be_the_one_that_bridges(node: RealNode, tmp_path: Path, version: str):
    """With what it does unless it is told otherwise: it says that it is a bridge, and leaves a will under $SYS."""
    connection = [f"connection {version}", f"address 127.0.0.1:{node.port('mqtt')}", f"topic {version}/# both 2"]
    # For all that is said of it elsewhere: as a client it would say a Receive Maximum of 0, which MQTT 5 forbids.
    connection += ["max_inflight_messages 20", f"bridge_protocol_version {version}"]
    with (
        Mosquitto(tmp_path, *connection) as there,
        Client(there.port, "far", f"{version}/#") as far,
        Client(node.port("mqtt"), f"near-{version}", f"{version}/#") as near,
    ):
        for speaker, word in ((far, b"there"), (near, b"here"), (far, b"1"), (near, b"2")):
            speaker.publish(f"{version}/a", word, 2)
            # Behind what came before: it would have come back by now.
            for hearer in (near, far):
                until(partial(has_heard, hearer, f"{version}/a", word), there.log)
        expected = [(f"{version}/a", word) for word in (b"there", b"here", b"1", b"2")]
        assert near.heard == far.heard == expected


def test_a_document_that_changes_has_its_bridges_changed_and_the_others_left_alone(
    node: RealNode, other: Mosquitto, tmp_path: Path
):
    node.until(lambda: connected(node, "five"))
    before = states(node)["five"]
    wrong = tmp_path / "wrong"
    wrong.write_text("not-this-one\n", encoding="utf-8")
    refused = five(other, "refused")
    added = five(other, "added")
    node.describe(
        bridges=[
            five(other),
            added,
            MqttBridge(
                name="refused",
                address=refused.address,
                tls=refused.tls,
                username=USER,
                password_file=str(wrong),
                topics=refused.topics,
            ),
            MqttBridge(name="nobody", address="127.0.0.1:1", topics=topics("nobody")),
        ]
    )
    node.until(lambda: connected(node, "added"))
    node.until(lambda: (states(node)["refused"]["error"] or "").find("not authorized") > 0)
    node.until(lambda: "connection refused" in (states(node)["nobody"]["error"] or ""))
    found = states(node)
    assert sorted(found) == ["added", "five", "nobody", "refused"]
    assert found["five"]["connections"] == before["connections"]
    assert found["five"]["since_ms"] == before["since_ms"]
    assert "refused to 127.0.0.1" in found["refused"]["error"]
    assert "Check `username` and `passwordFile`" in found["refused"]["error"]
    text = node.api("GET", "/metrics").body.decode()
    assert 'littoral_mqtt_bridge_connected{bridge="added"} 1' in text
    with Client(other.port, "far-added", "added/#") as far, Client(node.port("mqtt"), "near-added") as near:
        near.publish("plant/added-out/a", b"1", 1)
        node.until(lambda: far.heard)
    node.document.write_text("kind: Nothing\n", encoding="utf-8")
    node.until(lambda: "What the document said before goes on" in node.log())
    assert connected(node, "added")
    assert PASSWORD not in node.log()
    assert "not-this-one" not in node.log()
