"""MQTT brokers in words: their clients, what waits for them, and the last values of topics."""

from dataclasses import dataclass

from littoral.core.mqtt_limits import MQTT_QUEUE_BYTES
from littoral.dashboard.cells import Cell, Line, Tone
from littoral.dashboard.texts import (
    NONE,
    age_text,
    bytes_text,
    count_text,
    cut_text,
    event_time_text,
    rate_text,
    span_text,
)
from littoral.node.mqtt_messages import MqttClient, MqttClients, TopicEntry, TopicPage
from littoral.node.payload_text import payload_text
from littoral.node.status import NodeStatus
from littoral.wire.mqtt.properties import NEVER_S

VALUE_CHARACTERS = 160
NAME_CHARACTERS = 200


def node_cells(status: NodeStatus, rate_s: float | None) -> tuple[Cell, ...]:
    """A node with a broker. rate_s: readings a second."""
    return (
        Cell(count_text(status.clients), "connected"),
        Cell(rate_text(rate_s), f"{count_text(status.readings)} in all"),
    )


def totals(
    clients: MqttClients, rate_s: float | None, topics: TopicPage | None, all_topics: int | None
) -> dict[str, Cell]:
    """A broker. rate_s: publishes a second. all_topics: how many have a last value; None while that is not known."""
    away = clients.total - clients.connected
    noted = "with a last value" if topics is None or not topics.sampled else "with a last value, of a sample"
    return {
        "Connected": Cell(count_text(clients.connected), "clients"),
        "Messages/s": Cell(rate_text(rate_s), f"{count_text(clients.received)} in all"),
        "Sessions away": Cell(count_text(away), "wait for their clients"),
        "Queued": Cell(count_text(clients.waiting), bytes_text(clients.queued_bytes)),
        "Dropped": Cell(count_text(clients.dropped), "for slow or absent clients"),
        "Topics": Cell(NONE if all_topics is None else count_text(all_topics), noted),
    }


def client_line(client: MqttClient, now_ms: int) -> Line:
    """A client, or a session that waits for one."""
    return Line(
        client.client,
        (
            Cell(cut_text(client.client, NAME_CHARACTERS), _user(client)),
            _state(client, now_ms),
            Cell(client.address or NONE, client.listener),
            Cell(client.version, "with a will" if client.has_will else ""),
            Cell(count_text(client.subscriptions)),
            _queue(client),
            Cell(count_text(client.in_flight)),
            Cell(count_text(client.dropped), "", "warn" if client.dropped else ""),
        ),
    )


def _user(client: MqttClient) -> str:
    if client.username is not None:
        return cut_text(client.username, NAME_CHARACTERS)
    return "no user name" if client.connected else ""


def _state(client: MqttClient, now_ms: int) -> Cell:
    if not client.connected:
        return Cell("away", _kept(client.expiry_s), "warn")
    since = f"for {age_text(client.since_ms, now_ms)}" if client.since_ms is not None else ""
    return Cell("connected", since, "ok")


def _kept(expiry_s: int) -> str:
    return "kept for ever" if expiry_s == NEVER_S else f"kept {span_text(expiry_s * 1000)}"


def _queue(client: MqttClient) -> Cell:
    if not client.waiting:
        return Cell("0")
    # The bound is the node's to set; its default says well enough what is much.
    share = client.queued_bytes / MQTT_QUEUE_BYTES.default
    return Cell(count_text(client.waiting), bytes_text(client.queued_bytes), "", min(1.0, share))


@dataclass(frozen=True, slots=True)
class TopicLine:
    """A line of the tree."""

    topic: str
    name: str
    """What is shown of it."""
    depth: int
    below: int
    """Topics below it."""
    is_open: bool
    value: str
    note: str
    """What there is to say of the value."""
    when: str
    at: str
    """The moment, for who looks closer."""
    count: str
    retained: bool
    tone: Tone = ""


def topic_line(entry: TopicEntry, now_ms: int, *, is_open: bool, whole_name: bool) -> TopicLine:
    """A topic, or a branch of several. whole_name: it stands in no tree."""
    names = entry.topic.split("/")
    has_value = entry.payload is not None
    below = entry.topics - has_value
    payload = entry.payload or b""
    is_whole = len(payload) == entry.bytes
    text = payload_text(payload, is_whole=is_whole)
    return TopicLine(
        topic=entry.topic,
        name=cut_text(entry.topic if whole_name else names[-1] or "(empty)", NAME_CHARACTERS),
        depth=0 if whole_name else len(names) - 1,
        below=below,
        is_open=is_open,
        value=(cut_text(" ".join(text.split()), VALUE_CHARACTERS) or "(empty)") if has_value else "",
        note="" if is_whole else f"{bytes_text(entry.bytes)} in all",
        when=f"{age_text(entry.at_ms, now_ms)} ago"
        if entry.at_ms is not None
        else "before the hub started"
        if has_value
        else "",
        at=event_time_text(entry.at_ms) if entry.at_ms is not None else "",
        count=count_text(entry.count) if entry.count else "",
        retained=entry.retained,
    )
