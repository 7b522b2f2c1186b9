"""The topics of a node's broker as a tree, with their last values: what passed lately, and what is retained."""

from collections.abc import Iterator
from heapq import nsmallest
from itertools import islice

from msgspec import Struct

from littoral.core.errors import InvalidInput
from littoral.core.mqtt_limits import MQTT_TOPIC_NOTES, MQTT_TOPIC_VALUE_BYTES
from littoral.iot.broker import Broker
from littoral.iot.message import Message
from littoral.iot.topic_values import TopicValue
from littoral.node.mqtt_messages import TOPICS_MOST, TopicEntry, TopicPage
from littoral.wire import mqtt

RETAINED_LOOKED = 20_000
"""Retained messages that are looked at for one answer: there may be a million, and the broker waits meanwhile."""


class TopicQuestion(Struct, frozen=True):
    """What is asked for."""

    prefix: str = ""
    """A topic: itself and those below it. Empty: all but those that begin with "$"."""
    text: str = ""
    """Only those that contain it, in any case."""
    levels: int = 0
    """How far below `prefix` topics are told one by one; what lies deeper is one line for each branch. 0: all."""
    open: frozenset[str] | None = None
    """Branches of which each next level is told too, in place of `levels`: as a tree is shown of which a part is unfolded."""
    after: str = ""
    """Only lines after this one."""
    limit: int = TOPICS_MOST
    """Lines of one answer."""


class _Known(Struct):
    value: TopicValue | None = None
    message: Message | None = None


class _Branch(Struct):
    topics: int = 0
    own: _Known | None = None


def topic_page(broker: Broker, question: TopicQuestion) -> TopicPage:
    """The answer. Raises InvalidInput."""
    prefix = _checked(question.prefix.removesuffix("/"))
    known: dict[str, _Known] = {topic: _Known(value) for topic, value in broker.values if _is_below(topic, prefix)}
    retained = broker.retained.below(prefix)
    for message in islice(retained, RETAINED_LOOKED):
        known.setdefault(message.topic, _Known()).message = message
    left_out = next(retained, None) is not None
    lines = dict(_lines(known, question, len(prefix.split("/")) if prefix else 0))
    rest = (each for each in lines if not question.after or _levels(each) > _levels(question.after))
    page = nsmallest(min(question.limit, TOPICS_MOST), rest, key=_levels)
    most = broker.limits[MQTT_TOPIC_VALUE_BYTES]
    return TopicPage(
        [_entry(topic, lines[topic], most) for topic in page],
        len(lines),
        len(known),
        left_out,
        broker.values.noted,
        broker.limits.reached[MQTT_TOPIC_NOTES.name],
    )


def _checked(prefix: str) -> str:
    if prefix:
        try:
            mqtt.check_topic(prefix.encode())
        except mqtt.RemoteProtocolError as error:
            remedy = "Give the first levels of topics, such as plant/press-1"
            raise InvalidInput("list topics below", repr(prefix[:120]), str(error), remedy) from error
    return prefix


def _is_below(topic: str, prefix: str) -> bool:
    if not prefix:
        return not topic.startswith("$")
    return topic.startswith(prefix) and (len(topic) == len(prefix) or topic[len(prefix)] == "/")


def _levels(topic: str) -> list[str]:
    """By which topics are sorted: those below one follow it."""
    return topic.split("/")


def _lines(known: dict[str, _Known], question: TopicQuestion, base: int) -> Iterator[tuple[str, _Branch]]:
    text = question.text.casefold()
    branches: dict[str, _Branch] = {}
    for topic, each in known.items():
        if text and text not in topic.casefold():
            continue
        for shown in _shown(topic, question, base):
            branch = branches.setdefault(shown, _Branch())
            branch.topics += 1
        if shown == topic:
            branch.own = each
    yield from branches.items()


def _shown(topic: str, question: TopicQuestion, base: int) -> list[str]:
    """The lines that a topic counts for; the last one is its own, or that of the branch which stands for it."""
    if question.open is None:
        return ["/".join(_levels(topic)[: base + question.levels]) if question.levels else topic]
    names = _levels(topic)
    found: list[str] = []
    for depth in range(base + 1, len(names) + 1):
        found.append("/".join(names[:depth]))
        if found[-1] not in question.open:
            break
    return found or [topic]


def _entry(topic: str, branch: _Branch, bytes_most: int) -> TopicEntry:
    own = branch.own
    if own is None:
        return TopicEntry(topic, branch.topics)
    is_retained = own.message is not None
    if own.value is not None:
        value = own.value
        return TopicEntry(topic, branch.topics, value.payload, value.bytes, value.at_ms, value.count, is_retained)
    assert own.message is not None, topic
    payload = own.message.payload
    return TopicEntry(topic, branch.topics, payload[:bytes_most], len(payload), retained=is_retained)
