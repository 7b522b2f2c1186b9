"""What a document must satisfy beyond the types of its fields: rules that span fields."""

import re
from collections.abc import Iterator

from msgspec import UNSET

from littoral.core.egress import EgressRule
from littoral.core.errors import InvalidInput
from littoral.core.lanes import LANES
from littoral.core.limits import LIMITS
from littoral.core.names import SYSTEM_STREAMS, check_stream_path
from littoral.core.resources.access_log import check_access_log
from littoral.core.resources.app import App, AppSpec
from littoral.core.resources.app_assets import check_assets
from littoral.core.resources.app_events import check_crons, check_env_names, check_queues, env_names
from littoral.core.resources.check import Mistake, duration, is_host, repeated, size
from littoral.core.resources.global_topics import GlobalTopics, check_global_topics
from littoral.core.resources.model import (
    ANYONE,
    WEBHOOK_TARGET,
    Bandwidth,
    Encryption,
    Listen,
    Node,
    NodeSpec,
    Resource,
    Storage,
    Streams,
    Ttl,
)
from littoral.core.resources.mqtt_checks import check_mqtt
from littoral.core.resources.namespace import Namespace
from littoral.core.resources.problem import Path, suggestion
from littoral.core.resources.rule import Rule, RuleSpec, Sink
from littoral.core.resources.topic_filters import is_topic_filter, topic_matches
from littoral.core.resources.units import MOST_BYTES, parse_bytes
from littoral.core.resources.web import Origin, Route
from littoral.core.resources.web_checks import check_match, check_origin, check_route

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}|[{}]")
_WEBHOOK_TARGET = re.compile(WEBHOOK_TARGET)


def checks(resource: Resource) -> Iterator[Mistake]:
    """Where and how `resource` breaks a rule."""
    if isinstance(resource, Node):
        yield from _node(resource.spec)
    elif isinstance(resource, App):
        yield from _app(resource.spec)
    elif isinstance(resource, Namespace):
        yield from duration(("spec", "cacheTtl"), resource.spec.cache_ttl, least_ms=0)
    elif isinstance(resource, Route):
        yield from check_route(resource.spec)
    elif isinstance(resource, Origin):
        yield from check_origin(resource.spec)
    elif isinstance(resource, GlobalTopics):
        yield from check_global_topics(resource.spec)
    else:
        yield from _rule(resource)


# --- Node


def _node(spec: NodeSpec) -> Iterator[Mistake]:
    yield from _listen(spec.listen)
    if spec.listen.relay is not None and (spec.listen.gateway is None or not spec.gateways):
        yield ("spec", "listen", "relay"), "it is served by the gateways, and there are none; set listen.gateway, too"
    if spec.parent is not None:
        urls = (("url", spec.parent.url), ("joinUrl", spec.parent.join_url), ("relayUrl", spec.parent.relay_url))
        for field, url in urls:
            if url is not None and not _url_port_fits(url):
                yield ("spec", "parent", field), f'found "{url}"; its port is not between 1 and 65535'
        if spec.parent.bandwidth is not None:
            yield from _bandwidth(spec.parent.bandwidth)
        yield from _ttl(spec.parent.ttl)
    for index, host in enumerate(spec.advertise):
        if not is_host(host):
            yield ("spec", "advertise", index), f'found "{host[:80]}"; expected a host name or IP address, without port'
    yield from check_mqtt(spec.mqtt)
    if spec.mqtt.authenticator is not None and spec.listen.gateway is None:
        yield (
            ("spec", "mqtt", "authenticator"),
            "apps run at nodes that have listen.gateway; set it, if only at the loopback",
        )
    if spec.geo_databases and spec.country_header:
        yield (
            ("spec", "geoDatabases"),
            "behind a proxy that says countryHeader, all addresses are the proxy's; say one of the two",
        )
    yield from check_access_log(spec.access_log)
    yield from _streams(spec.streams)
    yield from _encryption(spec.encryption)
    yield from _storage(spec.storage)
    yield from duration(("spec", "statusInterval"), spec.status_interval, least_ms=100)
    yield from _node_limits(spec)


def _encryption(encryption: Encryption | None) -> Iterator[Mistake]:
    if encryption is None:
        return
    sources = (encryption.key_file, encryption.key_env, encryption.key_command)
    if sum(source is not None for source in sources) != 1:
        yield ("spec", "encryption"), "the key comes from one place: say keyFile, keyEnv or keyCommand"


BANDWIDTH_LEAST = {
    "rate": (1 << 10, "a session with the parent is opened with about 4 KiB"),
    "burst": (4 << 10, "a session with the parent is opened with about so much"),
    "perDay": (1 << 20, "a session in which nothing is sent takes about 700 KiB a day"),
    "perMonth": (32 << 20, "a session in which nothing is sent takes about 22 MiB a month"),
}
"""Field -> the least it may be, and why."""


NO_PATTERN = "an empty list matches no stream"
TTL_LEAST_MS = 1000
"""Below this a record would be too old before it could be sent."""
STREAM_BYTES_LEAST = 4 << 10
"""A stream that may not hold one page of the store is a slip of the keyboard."""
SPILL_BYTES_LEAST = 16 << 20
"""A few spill files of the largest size there is."""


def _bandwidth(bandwidth: Bandwidth) -> Iterator[Mistake]:
    path = ("spec", "parent", "bandwidth")
    texts = {
        "rate": bandwidth.rate,
        "burst": bandwidth.burst,
        "perDay": bandwidth.per_day,
        "perMonth": bandwidth.per_month,
    }
    sizes: dict[str, int] = {}
    for field, text in texts.items():
        if text is None:
            continue
        try:
            sizes[field] = parse_bytes(text)
        except InvalidInput as error:
            yield (*path, field), error.cause
            continue
        least, reason = BANDWIDTH_LEAST[field]
        if sizes[field] < least:
            yield (*path, field), f'found "{text}"; at least {least // 1024}KiB is allowed: {reason}'
    if not {"rate", "perDay", "perMonth"} & {field for field, text in texts.items() if text is not None}:
        yield path, "it bounds nothing; say at least one of rate, perDay, perMonth"
    if bandwidth.burst is not None and bandwidth.rate is None:
        yield (*path, "burst"), "a burst is what may go beyond a rate at once, and there is no rate"
    if sizes.get("perDay", 0) > sizes.get("perMonth", MOST_BYTES):
        yield (*path, "perDay"), f'found "{bandwidth.per_day}"; that is more than perMonth, "{bandwidth.per_month}"'


def _ttl(ttl: Ttl) -> Iterator[Mistake]:
    path = ("spec", "parent", "ttl")
    for lane in LANES:
        text = getattr(ttl, lane)
        if text is not None:
            yield from duration((*path, lane), text, least_ms=TTL_LEAST_MS)
    for index, entry in enumerate(ttl.streams):
        yield from duration((*path, "streams", index, "ttl"), entry.ttl, least_ms=TTL_LEAST_MS)
        if not entry.streams:
            yield (*path, "streams", index, "streams"), NO_PATTERN


def _storage(storage: Storage) -> Iterator[Mistake]:
    path = ("spec", "storage")
    for index, entry in enumerate(storage.streams):
        place = (*path, "streams", index)
        if not entry.streams:
            yield (*place, "streams"), NO_PATTERN
        if entry.bytes is None and entry.age is None and entry.policy is None:
            yield place, "it bounds nothing; say at least one of bytes, age, policy"
        if entry.bytes is not None:
            yield from size((*place, "bytes"), entry.bytes, STREAM_BYTES_LEAST)
        if entry.age is not None:
            yield from duration((*place, "age"), entry.age, least_ms=1000)
        if entry.policy == "spill" and storage.spill is None:
            yield (*place, "policy"), 'found "spill"; spec.storage.spill says to where, and there is none'
    if storage.policy == "spill" and storage.spill is None:
        yield (*path, "policy"), 'found "spill"; spec.storage.spill says to where, and there is none'
    if storage.spill is not None:
        yield from size((*path, "spill", "bytes"), storage.spill.bytes, SPILL_BYTES_LEAST)
        if not storage.spill.directory.startswith("/"):
            cause = f'found "{storage.spill.directory[:80]}"; expected an absolute path'
            yield (*path, "spill", "directory"), cause


def _streams(streams: Streams) -> Iterator[Mistake]:
    path = ("spec", "streams")
    yield from repeated((*path, "clients"), (client.name for client in streams.clients), "name")
    for index, text in enumerate(streams.webhooks.allow):
        if not _WEBHOOK_TARGET.fullmatch(text):
            yield (*path, "webhooks", "allow", index), f'found "{text[:80]}"; expected scheme://host[:port]'
    known = {ANYONE, *(client.name for client in streams.clients)}
    if ANYONE in (client.name for client in streams.clients):
        yield (*path, "clients"), f'"{ANYONE}" is everybody, and no name for a client'
    for index, entry in enumerate(streams.access):
        for right in ("read", "append", "manage"):
            for client in getattr(entry, right):
                if client not in known:
                    hint = suggestion(client, known)
                    yield (*path, "access", index, right), f'"{client}" is none of spec.streams.clients.{hint}'


def _listen(listen: Listen) -> Iterator[Mistake]:
    path = ("spec", "listen")
    if (listen.join is None) != (listen.peer is None):
        there, missing = ("join", "peer") if listen.peer is None else ("peer", "join")
        yield path, f'"{there}" needs "{missing}" too: children enrol at "join" and then use "peer"'
    users: dict[str, str] = {}
    for field in listen.__struct_fields__:
        address = getattr(listen, field)
        if address is None:
            continue
        port = int(address.rpartition(":")[2])
        if port > 65_535:
            yield (*path, field), f'found "{address}"; a port is at most 65535'
        elif port != 0 and address in users:
            yield (*path, field), f'found "{address}", which listen.{users[address]} uses already'
        users[address] = field


def _url_port_fits(url: str) -> bool:
    authority = url.removeprefix("https://")
    port = re.search(r"(?<=[^:\]]:)[^:\]]*\Z|(?<=\]:).*\Z", authority)
    return port is None or (port[0].isascii() and port[0].isdigit() and 1 <= int(port[0][:6]) <= 65_535)


def _node_limits(spec: NodeSpec) -> Iterator[Mistake]:
    for name, value in spec.limits.items():
        path = ("spec", "limits", name)
        if name not in LIMITS:
            yield path, f"there is no such limit.{suggestion(name, LIMITS)} docs/reference/limits.md lists them all"
        elif value < LIMITS[name].least:
            yield path, f"found {value}; this limit is at least {LIMITS[name].least} ({LIMITS[name].unit})"


# --- App


def _app(spec: AppSpec) -> Iterator[Mistake]:
    if not spec.main or spec.main.startswith("/") or ".." in spec.main.split("/"):
        yield ("spec", "main"), f'found "{spec.main[:80]}"; expected the path of a module inside `source`'
    for index, route in enumerate(spec.routes):
        yield from check_match(("spec", "routes", index), route)
    yield from repeated(("spec", "kv"), (kv.binding for kv in spec.kv), "binding")
    for index, kv in enumerate(spec.kv):
        if kv.binding in spec.vars:
            yield ("spec", "kv", index, "binding"), f'"{kv.binding}" is also in vars; each name in env is one thing'
    if spec.assets is not None:
        yield from check_assets(spec.assets, {*spec.vars, *(kv.binding for kv in spec.kv)})
    yield from check_crons(spec.crons)
    yield from check_queues(spec.queues)
    others = spec.vars.keys() | {kv.binding for kv in spec.kv}
    yield from check_env_names(env_names(spec.queues, spec.services, spec.datasets, spec.ai), others)
    for index, entry in enumerate(spec.egress):
        try:
            EgressRule.parse(entry)
        except ValueError as error:
            yield ("spec", "egress", index), str(error)


# --- Rule


def _rule(rule: Rule) -> Iterator[Mistake]:
    spec = rule.spec
    if not is_topic_filter(spec.source.mqtt.topic):
        cause = (
            f'found "{spec.source.mqtt.topic[:80]}"; "+" stands for a whole level and "#" for all last ones: a/+/b, a/#'
        )
        yield ("spec", "source", "mqtt", "topic"), cause
    yield from _decoding(spec)
    yield from _window(spec)
    yield from _detect(spec)
    for list_name, sinks in (("windows", spec.windows), ("alerts", spec.alerts)):
        for index, sink in enumerate(sinks):
            yield from _sink(("spec", list_name, index), sink, rule)


def _decoding(spec: RuleSpec) -> Iterator[Mistake]:
    if spec.decode == "json":
        if spec.value is None:
            yield ("spec",), 'decode "json" needs "value": the path of the number in the payload'
        return
    reason = 'is not allowed with decode "number": the whole payload is the number'
    if spec.value is not None:
        yield ("spec", "value"), reason
    if spec.key != "topic":
        yield ("spec", "key"), f'a path {reason}. Use "topic"'
    if spec.timestamp != "arrival":
        yield ("spec", "timestamp"), f'a path {reason}. Use "arrival"'
    if spec.sequence is not None:
        yield ("spec", "sequence"), reason


def _window(spec: RuleSpec) -> Iterator[Mistake]:
    if spec.window is None:
        if spec.windows:
            yield ("spec", "windows"), 'sinks for windows need "window", which says how long one is'
        if spec.detect is None:
            yield ("spec",), 'the rule does nothing: give it "window" and "windows", or "detect" and "alerts"'
        return
    if not spec.windows:
        yield ("spec", "window"), 'windows are computed and go nowhere: "windows" lists no sink'
    yield from duration(("spec", "window", "tumbling"), spec.window.tumbling, least_ms=1)
    yield from duration(("spec", "window", "allowedLateness"), spec.window.allowed_lateness, least_ms=0)
    if not spec.aggregates:
        yield ("spec", "aggregates"), "a window needs at least one aggregate"
    yield from repeated(("spec", "aggregates"), spec.aggregates, "aggregate")


def _detect(spec: RuleSpec) -> Iterator[Mistake]:
    if spec.detect is None:
        if spec.alerts:
            yield ("spec", "alerts"), 'sinks for alerts need "detect", which says what an alert is'
        return
    if not spec.alerts:
        yield ("spec", "detect"), 'anomalies are detected and go nowhere: "alerts" lists no sink'
    zscore = spec.detect.zscore
    if zscore.minimum > zscore.window:
        cause = f"found {zscore.minimum}; a window of {zscore.window} readings never holds that many"
        yield ("spec", "detect", "zscore", "minimum"), cause


def _sink(path: Path, sink: Sink, rule: Rule) -> Iterator[Mistake]:
    chosen = [name for name in ("stream", "mqtt", "kv") if getattr(sink, name) is not UNSET]
    if len(chosen) != 1:
        yield path, f"found {' and '.join(chosen) or 'none'}; a sink is exactly one of stream, mqtt, kv"
    if sink.stream is not UNSET:
        yield from _stream_sink((*path, "stream", "name"), sink.stream.name)
    if sink.mqtt is not UNSET:
        yield from _mqtt_sink((*path, "mqtt", "topic"), sink.mqtt.topic, rule)
    if sink.kv is not UNSET:
        yield from _placeholders((*path, "kv", "key"), sink.kv.key)


def _stream_sink(path: Path, name: str) -> Iterator[Mistake]:
    try:
        check_stream_path(name)
    except InvalidInput as error:
        yield path, f'found "{name[:80]}"; {error.cause}'
    if name.partition("/")[0] in SYSTEM_STREAMS:
        yield path, f'found "{name[:80]}"; Littoral writes streams under {", ".join(SYSTEM_STREAMS)} itself'


def _placeholders(path: Path, text: str) -> Iterator[Mistake]:
    for match in _PLACEHOLDER.finditer(text):
        if match[1] not in ("key", "rule"):
            yield path, f'found "{match[0][:80]}"; only {{key}} and {{rule}} are filled in'


def _mqtt_sink(path: Path, topic: str, rule: Rule) -> Iterator[Mistake]:
    yield from _placeholders(path, topic)
    if "+" in topic or "#" in topic:
        yield path, f'found "{topic[:80]}"; one publishes to a topic, which has no "+" and no "#"'
        return
    source = rule.spec.source.mqtt.topic
    # One topic that the rule really reads: if what it then publishes is read by it again, it never ends.
    example = source.replace("+", "x").replace("#", "x") if rule.spec.key == "topic" else "x"
    published = topic.replace("{key}", example).replace("{rule}", rule.metadata.name)
    if topic_matches(source, published):
        yield path, f'found "{topic[:80]}"; the rule would read what it publishes, for its source is "{source[:80]}"'
