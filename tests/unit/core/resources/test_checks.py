"""Rules that span fields. Each row: what is put into a valid document, and what the writer is told."""

import pytest

from littoral.core.resources import topic_matches
from littoral.core.resources.decode import decode_resources, inspect_resources


def node(spec: str) -> str:
    return f"apiVersion: littoral/v1\nkind: Node\nmetadata: {{name: n}}\nspec:\n  tier: site\n  {spec}\n"


def parent(bandwidth: str) -> str:
    return node(f"parent: {{url: 'https://cloud:7001', bandwidth: {{{bandwidth}}}}}")


def app(spec: str) -> str:
    return f"apiVersion: littoral/v1\nkind: App\nmetadata: {{name: n}}\nspec:\n  {spec}\n"


def rule(spec: str, source: str = "a/+") -> str:
    head = "apiVersion: littoral/v1\nkind: Rule\nmetadata: {name: n}\nspec:\n"
    return f"{head}  source: {{mqtt: {{topic: {source}}}}}\n  {spec}\n"


TOKEN_HASH = f"sha256${'A' * 43}"
CLIENTS = f"clients: [{{name: ann, tokenHash: {TOKEN_HASH}}}, {{name: bob, tokenHash: {TOKEN_HASH}}}]"

WINDOW = "value: {path: v}\n  window: {tumbling: 5m}\n  windows: [{stream: {name: w}}]"
ALERT = "value: {path: v}\n  detect: {zscore: {}}\n  alerts"

VALID = {
    "egress": app("main: a.py\n  egress: [api.example, '*.example:443', '*', 10.0.0.0/8, '[fd00::1]:80', 'fd00::1']"),
    "root": node("listen: {peer: '0.0.0.0:1', join: '0.0.0.0:2', mqtt: '127.0.0.1:0', gateway: '127.0.0.1:0'}"),
    "relay": node("listen: {gateway: '127.0.0.1:0', relay: '0.0.0.0:3'}"),
    "geo": node("geoDatabases: [/var/lib/GeoIP/GeoLite2-City.mmdb]"),
    "child": node("parent: {url: 'https://[::1]:7001', joinUrl: 'https://cloud.example'}"),
    "limits": node("limits: {rule-keys: 1}"),
    "bandwidth": parent("rate: 256KiB, burst: 1MiB, perDay: 2GiB, perMonth: 20GiB, atEnd: stop"),
    "bandwidth by the day": parent("perDay: 20MiB"),
    "storage": node(
        "storage: {policy: reject, spill: {directory: /mnt/slow, bytes: 100GiB}, streams: ["
        "{streams: [a/raw/x, '*/readings', '*/raw/*', '*'], bytes: 2GiB, age: 7d, policy: spill}]}"
    ),
    "ttl": node(
        "parent: {url: 'https://cloud:7001', ttl: {telemetry: 24h, streams: [{streams: ['*/raw/*'], ttl: 1h}]}}"
    ),
    "streams": node(
        f"streams: {{{CLIENTS}, access: [{{streams: ['*', n/a, 'n/rooms/*'], read: [anyone], manage: [bob]}}],"
        " origins: ['*', 'https://a.example:8443'], webhooks: {baseUrl: 'https://a.example',"
        " allow: ['http://127.0.0.1:*', 'https://*.plant.example', 'http://[::1]:80']}}"
    ),
    "app": app(
        "main: src/app.py\n  routes: [{path: '/line/*', host: a.example}]\n  kv: [{binding: KV, namespace: kv}]"
    ),
    "window": rule(WINDOW),
    "number": rule("decode: number\n  detect: {zscore: {}}\n  alerts: [{mqtt: {topic: 'alerts/{rule}/{key}'}}]"),
    "kv": rule(ALERT + ": [{kv: {namespace: kv, key: 'last/{key}'}}]"),
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
def test_valid(text: str) -> None:
    assert len(decode_resources(text, "a.yaml")) == 1


BROKEN = {
    "geo and proxy": (
        node("geoDatabases: [/a.mmdb]\n  countryHeader: cf-ipcountry"),
        "spec.geoDatabases: behind a proxy that says countryHeader, all addresses are the proxy's; say one of the two",
    ),
    "join without peer": (node("listen: {join: 'a:1'}"), 'spec.listen: "join" needs "peer" too: children enrol'),
    "peer without join": (node("listen: {peer: 'a:1'}"), 'spec.listen: "peer" needs "join" too: children enrol'),
    "port": (node("listen: {mqtt: 'a:70000'}"), 'spec.listen.mqtt: found "a:70000"; a port is at most 65535'),
    "same port": (
        node("listen: {mqtt: 'a:1', gateway: 'a:1'}"),
        'spec.listen.mqtt: found "a:1", which listen.gateway uses already',
    ),
    "relay without gateways": (
        node("listen: {relay: 'a:1'}"),
        "spec.listen.relay: it is served by the gateways, and there are none; set listen.gateway, too",
    ),
    "port of the parent's relay": (
        node("parent: {url: 'https://cloud', relayUrl: 'https://cloud:0'}"),
        'spec.parent.relayUrl: found "https://cloud:0"; its port is not between 1 and 65535',
    ),
    "port of the parent": (
        node("parent: {url: 'https://cloud:99999'}"),
        'spec.parent.url: found "https://cloud:99999"; its port is not between 1 and 65535',
    ),
    "policy": (
        node("storage: {policy: forget}"),
        'spec.storage.policy: found "forget"; expected one of "drop-oldest", "reject", "spill"',
    ),
    "spill to nowhere": (
        node("storage: {streams: [{streams: ['*'], policy: spill}]}"),
        'spec.storage.streams[0].policy: found "spill"; spec.storage.spill says to where, and there is none',
    ),
    "node spills to nowhere": (
        node("storage: {policy: spill}"),
        'spec.storage.policy: found "spill"; spec.storage.spill',
    ),
    "relative spill directory": (
        node("storage: {spill: {directory: slow, bytes: 1GiB}}"),
        'spec.storage.spill.directory: found "slow"; expected an absolute path',
    ),
    "no budget": (
        node("storage: {streams: [{streams: ['*'], bytes: '0'}]}"),
        'spec.storage.streams[0].bytes: found "0"; at least 4KiB is allowed',
    ),
    "no spill budget": (
        node("storage: {spill: {directory: /slow, bytes: '0'}}"),
        'spec.storage.spill.bytes: found "0"; at least 16384KiB is allowed',
    ),
    "budget of nothing": (
        node("storage: {streams: [{streams: ['*']}]}"),
        "spec.storage.streams[0]: it bounds nothing; say at least one of bytes, age, policy",
    ),
    "budget of no stream": (
        node("storage: {streams: [{streams: [], bytes: 1GiB}]}"),
        "spec.storage.streams[0].streams: an empty list matches no stream",
    ),
    "stream pattern": (
        node("storage: {streams: [{streams: ['a*/x'], bytes: 1GiB}]}"),
        'spec.storage.streams[0].streams[0]: found "a*/x"',
    ),
    "ttl of nothing": (
        node("parent: {url: 'https://c', ttl: {bulk: 0s}}"),
        'spec.parent.ttl.bulk: found "0s"; at least 1000ms is allowed',
    ),
    "bandwidth of nothing": (
        parent("atEnd: stop"),
        "spec.parent.bandwidth: it bounds nothing; say at least one of rate, perDay, perMonth",
    ),
    "burst without rate": (
        parent("burst: 1MiB, perDay: 1GiB"),
        "spec.parent.bandwidth.burst: a burst is what may go beyond a rate at once, and there is no rate",
    ),
    "rate too small": (
        parent("rate: 100B"),
        'spec.parent.bandwidth.rate: found "100B"; at least 1KiB is allowed: a session with the parent is opened with',
    ),
    "day too small": (
        parent("perDay: '1000'"),
        'spec.parent.bandwidth.perDay: found "1000"; at least 1024KiB is allowed: a session in which nothing is sent',
    ),
    "bandwidth beyond all": (
        parent("perDay: 9999999999GiB"),
        "spec.parent.bandwidth.perDay: at most 1 EiB is allowed",
    ),
    "day larger than month": (
        parent("perDay: 2GiB, perMonth: 1GiB"),
        'spec.parent.bandwidth.perDay: found "2GiB"; that is more than perMonth, "1GiB"',
    ),
    "advertise": (node("advertise: ['a:1']"), 'spec.advertise[0]: found "a:1"; expected a host name or IP address'),
    "unknown limit": (
        node("limits: {rule-key: 1}"),
        'spec.limits.rule-key: there is no such limit. Did you mean "rule-keys"?',
    ),
    "limit of zero": (node("limits: {rule-keys: 0}"), "spec.limits.rule-keys: found 0; this limit is at least 1"),
    "interval": (node("statusInterval: 0s"), 'spec.statusInterval: found "0s"; at least 100ms is allowed'),
    "password in the clear": (
        node("mqtt: {users: [{username: a, passwordHash: scrypt$secret}]}"),
        "spec.mqtt.users[0].passwordHash: this is no password hash; `littoral mqtt hash` prints one",
    ),
    "Argon2 in the clear": (
        node("mqtt: {users: [{username: a, passwordHash: $argon2id$secret}]}"),
        "spec.mqtt.users[0].passwordHash: this is no password hash; `littoral mqtt hash` prints one",
    ),
    "other hash": (
        node("mqtt: {users: [{username: a, passwordHash: bcrypt$x}]}"),
        'spec.mqtt.users[0].passwordHash: found "bcrypt$x"; expected text that matches',
    ),
    "MQTT pattern": (
        node("mqtt: {access: [{topics: [a/b#]}]}"),
        'spec.mqtt.access[0].topics[0]: found "a/b#"; "+" stands for a whole level',
    ),
    "MQTT placeholder": (
        node("mqtt: {access: [{topics: ['a/%u/%x']}]}"),
        'spec.mqtt.access[0].topics[0]: found "%x" in "a/%u/%x"; "%u" is the user name',
    ),
    "shared MQTT pattern": (
        node("mqtt: {access: [{topics: ['$share/a/b']}]}"),
        'spec.mqtt.access[0].topics[0]: found "$share/a/b"; name the filter behind',
    ),
    "MQTT listener twice": (
        node("mqtt: {listeners: [{address: 'a:1'}, {address: 'a:1', webSocket: /}]}"),
        'spec.mqtt.listeners[1]: the address "a:1" is already in element 0',
    ),
    "origins without WebSocket": (
        node("mqtt: {listeners: [{address: 'a:1', origins: ['https://a.test']}]}"),
        "spec.mqtt.listeners[0].origins: pages of web sites speak WebSocket only",
    ),
    "client certificates without TLS": (
        node("mqtt: {listeners: [{address: 'a:1', clientCertificates: {ca: /ca}}]}"),
        "spec.mqtt.listeners[0].clientCertificates: clients show certificates in TLS only",
    ),
    "authenticator without apps": (
        node("mqtt: {authenticator: {app: doors}}"),
        "spec.mqtt.authenticator: apps run at nodes that have listen.gateway",
    ),
    "authentication method twice": (
        node("mqtt: {authenticator: {app: doors, methods: [A, A]}}\n  listen: {gateway: '127.0.0.1:1'}"),
        'spec.mqtt.authenticator.methods[1]: the method "A" is already in element 0',
    ),
    "client twice": (
        node(f"streams: {{{CLIENTS.replace('bob', 'ann')}}}"),
        'spec.streams.clients[1]: the name "ann" is already in element 0',
    ),
    "client named anyone": (
        node(f"streams: {{{CLIENTS.replace('bob', 'anyone')}}}"),
        'spec.streams.clients: "anyone" is everybody, and no name for a client',
    ),
    "unknown client": (
        node(f"streams: {{{CLIENTS}, access: [{{streams: ['*']}}, {{streams: [n/a], append: [ann, bobby]}}]}}"),
        'spec.streams.access[1].append: "bobby" is none of spec.streams.clients. Did you mean "bob"?',
    ),
    "token in the clear": (
        node("streams: {clients: [{name: ann, tokenHash: secret}]}"),
        'spec.streams.clients[0].tokenHash: found "secret"',
    ),
    "pattern without a node": (
        node("streams: {access: [{streams: [rooms], read: [anyone]}]}"),
        'spec.streams.access[0].streams[0]: found "rooms"',
    ),
    "star within a pattern": (
        node("streams: {access: [{streams: ['n/*/a'], read: [anyone]}]}"),
        'spec.streams.access[0].streams[0]: found "n/*/a"',
    ),
    "site with a path": (
        node("streams: {origins: ['https://a.example/']}"),
        'spec.streams.origins[0]: found "https://a.example/"',
    ),
    "webhooks to a path": (
        node("streams: {webhooks: {allow: ['http://a.example/hook']}}"),
        'spec.streams.webhooks.allow[0]: found "http://a.example/hook"',
    ),
    "webhooks to what a star is in the middle of": (
        node("streams: {webhooks: {allow: ['https://a.*.example']}}"),
        'spec.streams.webhooks.allow[0]: found "https://a.*.example"; expected scheme://host[:port]',
    ),
    "same port for streams": (
        node("listen: {api: 'a:1', streams: 'a:1'}"),
        'spec.listen.streams: found "a:1", which listen.api uses already',
    ),
    "main": (
        app("main: ../secret.py"),
        'spec.main: found "../secret.py"; expected the path of a module inside `source`',
    ),
    "route": (
        app("main: a.py\n  routes: [{path: '/*/a'}]"),
        'spec.routes[0].path: found "/*/a"; a "*" is allowed at its end only',
    ),
    "host": (
        app("main: a.py\n  routes: [{host: 'http://a'}]"),
        'spec.routes[0].host: found "http://a"; expected a host name',
    ),
    "binding twice": (
        app("main: a.py\n  kv: [{binding: KV, namespace: a}, {binding: KV, namespace: b}]"),
        'spec.kv[1]: the binding "KV" is already in element 0',
    ),
    "binding and var": (
        app("main: a.py\n  vars: {KV: x}\n  kv: [{binding: KV, namespace: a}]"),
        'spec.kv[0].binding: "KV" is also in vars',
    ),
    "egress by URL": (
        app("main: a.py\n  egress: [api.example, 'https://api.example/']"),
        'spec.egress[1]: found "https://api.example/"; expected a host, an address or a network',
    ),
    "egress to a network that is none": (
        app("main: a.py\n  egress: [10.1.2.3/8]"),
        'spec.egress[0]: found "10.1.2.3/8"; expected an address or a network, like 10.1.0.0/16',
    ),
    "a variable that is no number": (
        app("main: a.py\n  vars: {A: {b: [1, 1e999]}}"),
        "spec.vars.A.b[1]: found inf; expected what JSON can hold",
    ),
    "json without value": (
        rule("window: {tumbling: 5m}\n  windows: [{stream: {name: w}}]"),
        'spec: decode "json" needs "value": the path of the number in the payload',
    ),
    "number with value": (rule("decode: number\n  " + WINDOW), 'spec.value: is not allowed with decode "number"'),
    "number with timestamp": (
        rule("decode: number\n  timestamp: {path: t}\n  window: {tumbling: 5m}\n  windows: [{stream: {name: w}}]"),
        'spec.timestamp: a path is not allowed with decode "number": the whole payload is the number. Use "arrival"',
    ),
    "number with key": (
        rule("decode: number\n  key: {path: t}\n  window: {tumbling: 5m}\n  windows: [{stream: {name: w}}]"),
        'spec.key: a path is not allowed with decode "number": the whole payload is the number. Use "topic"',
    ),
    "windows without window": (
        rule(ALERT + ": [{stream: {name: a}}]\n  windows: [{stream: {name: w}}]"),
        'spec.windows: sinks for windows need "window"',
    ),
    "window without windows": (
        rule("value: {path: v}\n  window: {tumbling: 5m}"),
        'spec.window: windows are computed and go nowhere: "windows" lists no sink',
    ),
    "detect without alerts": (
        rule("value: {path: v}\n  detect: {zscore: {}}"),
        'spec.detect: anomalies are detected and go nowhere: "alerts" lists no sink',
    ),
    "alerts without detect": (
        rule(WINDOW + "\n  alerts: [{stream: {name: a}}]"),
        'spec.alerts: sinks for alerts need "detect"',
    ),
    "nothing": (rule("value: {path: v}"), "spec: the rule does nothing"),
    "window of zero": (
        rule(WINDOW.replace("5m", "0m")),
        'spec.window.tumbling: found "0m"; at least 1ms is allowed',
    ),
    "window of ages": (
        rule(WINDOW.replace("5m", "9999d")),
        "spec.window.tumbling: at most ten years (3650d) are allowed",
    ),
    "aggregate twice": (
        rule(WINDOW + "\n  aggregates: [max, min, max]"),
        'spec.aggregates[2]: the aggregate "max" is already in element 0',
    ),
    "minimum beyond window": (
        rule("value: {path: v}\n  detect: {zscore: {window: 5, minimum: 6}}\n  alerts: [{stream: {name: a}}]"),
        "spec.detect.zscore.minimum: found 6; a window of 5 readings never holds that many",
    ),
    "no sink": (rule(ALERT + ": [{}]"), "spec.alerts[0]: found none; a sink is exactly one of stream, mqtt, kv"),
    "two sinks in one": (
        rule(ALERT + ": [{stream: {name: a}, mqtt: {topic: b}}]"),
        "spec.alerts[0]: found stream and mqtt; a sink is exactly one of stream, mqtt, kv",
    ),
    "stream of our own": (
        rule(ALERT + ": [{stream: {name: kv/a}}]"),
        'spec.alerts[0].stream.name: found "kv/a"; Littoral writes streams under',
    ),
    "long stream": (rule(ALERT + ": [{stream: {name: 1/2/3/4/5/6/7/8/9}}]"), "it has 1 to 8 parts between '/'"),
    "placeholder": (
        rule(ALERT + ": [{kv: {namespace: kv, key: '{node}'}}]"),
        'spec.alerts[0].kv.key: found "{node}"; only {key} and {rule} are filled in',
    ),
    "wildcard in a sink": (
        rule(ALERT + ": [{mqtt: {topic: 'b/#'}}]"),
        'one publishes to a topic, which has no "+" and no "#"',
    ),
    "endless": (
        rule(ALERT + ": [{mqtt: {topic: 'a/{rule}'}}]"),
        'the rule would read what it publishes, for its source is "a/+"',
    ),
    "endless by key": (
        rule(ALERT + ": [{mqtt: {topic: 'alerts/{key}'}}]", source="'#'"),
        "the rule would read what it publishes",
    ),
    "filter": (rule(WINDOW, source="a/b+"), 'spec.source.mqtt.topic: found "a/b+"; "+" stands for a whole level'),
    "filter end": (rule(WINDOW, source="a/#/b"), 'spec.source.mqtt.topic: found "a/#/b"; "+" stands for a whole level'),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_broken(text: str, message: str) -> None:
    resources, problems = inspect_resources(text)
    assert resources == []
    assert len(problems) == 1
    assert message in str(problems[0])
    assert problems[0].line is not None


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "b/a", False),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("+/+", "/x", True),
    ],
)
def test_topic_filters(topic_filter: str, topic: str, matches: bool) -> None:
    assert topic_matches(topic_filter, topic) is matches
