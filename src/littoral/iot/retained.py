"""Retained messages: the last one of a topic, for whoever subscribes later (section 3.3.1.3).

    in the store  --restore-->  unplaced: a topic, and bytes  --asked for, or in steps-->  placed: a message, found by filters

A million of them are there in a second as topics and bytes, and in three more as messages that filters find. So a node that starts takes
them as they are: one topic is looked up among both, and whoever asks for a filter waits until all are placed, while others go on.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import TypeAlias, cast

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_RETAINED, MQTT_RETAINED_BYTES
from littoral.core.undecodable import UNDECODABLE
from littoral.iot.message import Message
from littoral.iot.retained_walk import Branch, Walk, walk
from littoral.iot.session_rows import decode_message

log = logging.getLogger(__name__)

_PLACED_AT_ONCE = 32
"""By one step of a walk: some 0.1 ms."""
_Branch: TypeAlias = Branch
"""What lies below each name: another branch, or a message, where only one has a topic that begins so: a million topics that differ
in the last name but one need no branch each. The message of the topic that ends here is below None."""


class Retained:
    """The retained messages of one broker, in memory. Bounded in number and bytes; a message over a bound is delivered,
    not retained, and counted."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._root: _Branch = {}
        self._count = 0
        self._unplaced: dict[str, bytes] = {}
        """What came through a restart and nobody has asked for: its body in the store, by topic."""
        self.bytes = 0
        """Of all payloads; a little more while some are not placed, whose topics count, too."""

    def __len__(self) -> int:
        return self._count + len(self._unplaced)

    def restore(self, kept: Iterable[tuple[str, bytes]]) -> None:
        """Take over what was kept through a restart: topics, and messages as `session_rows.encode_message` made them. To be called
        once, before anything else."""
        self._unplaced = dict(kept)
        self.bytes += sum(map(len, self._unplaced.values()))

    def place(self, most: int) -> None:
        """Make messages of so many that came through a restart, if there are any left."""
        for _ in range(min(most, len(self._unplaced))):
            self._place(*self._unplaced.popitem())

    def _place(self, topic: str, body: bytes) -> None:
        self.bytes -= len(body)
        try:
            message = decode_message(body)
        except UNDECODABLE as error:
            log.warning("left out the retained message of %r: its row cannot be read: %s", topic[:120], error)
            return
        self.put(message)

    def keep(self, message: Message) -> bool:
        """Replace the message of its topic; an empty payload removes it [MQTT-3.3.1-6]. False where a bound is in the way:
        the one before is gone all the same, as it is not the last any more."""
        self._remove(message.topic)
        if not message.payload:
            return True
        if len(self) >= self._limits[MQTT_RETAINED]:
            self._limits.hit(MQTT_RETAINED)
            return False
        if self._unplaced and self.bytes + len(message.payload) > self._limits[MQTT_RETAINED_BYTES]:
            self.place(len(self._unplaced))  # Only then it is known exactly.
        if self.bytes + len(message.payload) > self._limits[MQTT_RETAINED_BYTES]:
            self._limits.hit(MQTT_RETAINED_BYTES)
            return False
        self.put(message)
        return True

    def put(self, message: Message) -> None:
        """Add the message of a topic that has none."""
        self._count += 1
        self.bytes += len(message.payload)
        branch = self._root
        others: list[str | None] = []
        for depth, name in enumerate(message.topic.split("/"), 1):
            held = branch.get(name)
            if held is None:
                branch[name] = message
                return
            if not isinstance(held, dict):
                # One that was alone so far goes further down, and on with this one as long as their names are the same.
                others = others or [*held.topic.split("/"), None]
                held = branch[name] = {others[depth]: held}
            branch = held
        branch[None] = message

    def get(self, topic: str) -> Message | None:
        """The message of one topic."""
        if topic in self._unplaced:
            self._place(topic, self._unplaced.pop(topic))
        found: Message | _Branch | None = self._root
        for name in topic.split("/"):
            if not isinstance(found, dict):
                break
            found = found.get(name)
        message = found.get(None) if isinstance(found, dict) else found
        assert not isinstance(message, dict), topic
        return message if message is not None and message.topic == topic else None

    def below(self, prefix: str) -> Iterator[Message]:
        """The message of a topic, and those of all topics below it, in no order; of the empty prefix all but the server's own."""
        self.place(len(self._unplaced))
        branch = self._root
        for name in prefix.split("/") if prefix else ():
            held = branch.get(name)
            if not isinstance(held, dict):
                if held is not None and f"{held.topic}/".startswith(f"{prefix}/"):
                    yield held
                return
            branch = held
        yield from _below(branch, front=not prefix)

    def forget(self, message: Message) -> bool:
        """Remove exactly this message: it has expired. Whether it was there."""
        if self.get(message.topic) is not message:
            return False
        self._remove(message.topic)
        return True

    def _remove(self, topic: str) -> None:
        message = self.get(topic)
        if message is None:
            return
        path: list[tuple[_Branch, str | None]] = []
        found: Message | _Branch = self._root
        for level in (*topic.split("/"), None):
            if not isinstance(found, dict):
                break
            path.append((found, level))
            found = found[level]
        self._count -= 1
        self.bytes -= len(message.payload)
        for branch, name in reversed(path):
            del branch[name]
            if branch:
                return

    def walk(self, topic_filter: str) -> Walk:
        """The messages of a filter, step by step: see `retained_walk.walk`."""
        if "+" not in topic_filter and "#" not in topic_filter:
            return iter([self.get(topic_filter)])
        return self._walk(topic_filter)

    def _walk(self, topic_filter: str) -> Walk:
        # All first: one that another walk places meanwhile could be where this one has been already.
        while self._unplaced:
            self.place(_PLACED_AT_ONCE)
            yield None
        yield from walk(self._root, topic_filter)

    def match(self, topic_filter: str) -> list[Message]:
        """The messages of a filter, at once."""
        return [message for message in self.walk(topic_filter) if message is not None]


def _below(start: _Branch, *, front: bool) -> Iterator[Message]:
    """Every message from here on down; not the server's own, where the filter begins with a wildcard [MQTT-4.7.2-1]."""
    waiting: list[Message | _Branch] = [start]
    while waiting:
        branch = waiting.pop()
        if type(branch) is not dict:
            yield cast("Message", branch)
            continue
        for key, value in branch.items():
            if front and key is not None and key.startswith("$"):
                continue
            if type(value) is dict:
                waiting.append(value)
            else:
                yield cast("Message", value)
        front = False
