"""Bridges in a node's document. Each row: what is put into one, and what the writer is told."""

import pytest

from littoral.core.resources.decode import decode_resources, inspect_resources

TOPICS = "topics: [{filter: a/#, direction: both}]"


def node(bridge: str) -> str:
    head = "apiVersion: littoral/v1\nkind: Node\nmetadata: {name: n}\nspec:\n  tier: site\n  mqtt: {bridges: ["
    return f"{head}{bridge}]}}\n"


def bridge(fields: str = "", topics: str = TOPICS, address: str = "b.example:8883") -> str:
    return node(f"{{name: up, address: '{address}', {topics}{', ' if fields else ''}{fields}}}")


VALID = {
    "least": bridge(),
    "most": bridge(
        "tls: {ca: /ca, certificate: {certificate: /c, key: /k}, serverName: b}, username: u, passwordFile: /p, clientId: c,"
        " version: '3.1.1', keepAlive: 5s",
        "topics: [{filter: '#', direction: in, qos: 0, localPrefix: x/, remotePrefix: $SYS/}]",
        "[::1]:1883",
    ),
    "TLS as the system has it": bridge("tls: {}, username: u, passwordFile: /p"),
    "a password to the loopback": bridge("username: u, passwordFile: /p", address="127.0.0.1:1883"),
}
INVALID = {
    "name twice": (
        node(f"{{name: a, address: 'b:1', {TOPICS}}}, {{name: a, address: 'b:2', {TOPICS}}}"),
        'spec.mqtt.bridges[1]: the name "a" is already in element 0',
    ),
    "one session for two": (
        node(f"{{name: a, address: 'b:1', clientId: c, {TOPICS}}}, {{name: b, address: 'b:1', clientId: c, {TOPICS}}}"),
        'spec.mqtt.bridges[1].clientId: "c" at b:1 is already in element 0',
    ),
    "server name": (
        bridge("tls: {serverName: .b}"),
        'spec.mqtt.bridges[0].tls.serverName: found ".b"; it is a host name',
    ),
    "port": (bridge(address="b:0"), 'spec.mqtt.bridges[0].address: found "b:0"; it is "host:port" of the other broker'),
    "password in the clear": (
        bridge("username: u, passwordFile: /p"),
        "spec.mqtt.bridges[0].passwordFile: without TLS anybody on the way could read the password",
    ),
    "password of nobody": (
        bridge("tls: {}, passwordFile: /p"),
        "spec.mqtt.bridges[0].passwordFile: a password goes with a user name",
    ),
    "keep alive": (bridge("keepAlive: 1s"), "spec.mqtt.bridges[0].keepAlive: "),
    "long keep alive": (bridge("keepAlive: 1d"), 'spec.mqtt.bridges[0].keepAlive: found "1d"; at most 65535s'),
    "filter": (
        bridge(topics="topics: [{filter: a#, direction: in}]"),
        'spec.mqtt.bridges[0].topics[0].filter: found "a#"; "+" stands for',
    ),
    "prefix with a wildcard": (
        bridge(topics="topics: [{filter: a, direction: in, localPrefix: +/}]"),
        'spec.mqtt.bridges[0].topics[0].localPrefix: found "+/"; a prefix is a part of a topic',
    ),
    "prefix that is no level": (
        bridge(topics="topics: [{filter: '#', direction: in, remotePrefix: plant}]"),
        'spec.mqtt.bridges[0].topics[0].remotePrefix: "plant" and "#" make no topic filter; let the prefix end with "/"',
    ),
    "shared": (
        bridge(topics="topics: [{filter: g/a, direction: in, remotePrefix: $share/}]"),
        "spec.mqtt.bridges[0].topics[0].remotePrefix: a bridge has no shared subscription",
    ),
    "qos": (bridge(topics="topics: [{filter: a, direction: in, qos: 3}]"), "spec.mqtt.bridges[0].topics[0].qos: "),
    "no topics": (bridge(topics="topics: []"), "spec.mqtt.bridges[0].topics: "),
}


@pytest.mark.parametrize("name", VALID)
def test_what_is_right_is_taken(name: str):
    assert len(decode_resources(VALID[name], "node.yaml")) == 1


@pytest.mark.parametrize("name", INVALID)
def test_what_is_wrong_is_said_with_its_place(name: str):
    document, expected = INVALID[name]
    _, found = inspect_resources(document)
    problems = [str(each) for each in found]
    assert any(expected in each for each in problems), problems
