"""Who subscribed to what (section 4.7)."""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
V = TypeVar("V")


class _Level(Generic[S, V]):
    """One level of the tree: what lies below each name, and who subscribed to exactly this far."""

    __slots__ = ("below", "here")

    def __init__(self) -> None:
        self.below: dict[str, _Level[S, V]] = {}
        self.here: dict[S, V] = {}


class TopicTree(Generic[S, V]):
    """Subscribers by topic filter, each with the terms of its subscription. Filters are valid
    (`wire.mqtt.check_filter`); "+" and "#" are names like others here.

    The cost of `match` is bounded by the levels of the topic and the wildcards that fit it, not by the number of
    filters.
    """

    def __init__(self) -> None:
        self._root: _Level[S, V] = _Level()

    def add(self, topic_filter: str, subscriber: S, terms: V) -> None:
        """Subscribe, or replace the terms of a subscription [MQTT-3.8.4-3]."""
        level = self._root
        for name in topic_filter.split("/"):
            following = level.below.get(name)
            if following is None:
                following = level.below[name] = _Level()
            level = following
        level.here[subscriber] = terms

    def remove(self, topic_filter: str, subscriber: S) -> None:
        """Unsubscribe; what is not there is no error. Levels that nobody needs any more go."""
        path: list[tuple[_Level[S, V], str]] = []
        level = self._root
        for name in topic_filter.split("/"):
            following = level.below.get(name)
            if following is None:
                return
            path.append((level, name))
            level = following
        level.here.pop(subscriber, None)
        for parent, name in reversed(path):
            child = parent.below[name]
            if child.here or child.below:
                return
            del parent.below[name]

    def match(self, topic: str) -> dict[S, list[V]]:
        """Each subscriber of `topic` once, with the terms of all its filters that fit."""
        found: dict[S, list[V]] = {}
        for level in self._levels(topic.split("/")):
            for subscriber, terms in level.here.items():
                found.setdefault(subscriber, []).append(terms)
        return found

    def _levels(self, names: list[str]) -> Iterator[_Level[S, V]]:
        """Every level of the tree that stands for the topic with these names."""
        current = [self._root]
        for depth, name in enumerate(names):
            # A topic that begins with "$" is the server's own: wildcards at the front do not see it [MQTT-4.7.2-1].
            wild = depth > 0 or not name.startswith("$")
            following: list[_Level[S, V]] = []
            for level in current:
                if wild and (rest := level.below.get("#")) is not None:
                    yield rest
                if wild and (any_name := level.below.get("+")) is not None:
                    following.append(any_name)
                if (exact := level.below.get(name)) is not None:
                    following.append(exact)
            current = following
        for level in current:
            yield level
            # "#" also stands for its parent: "sport/#" fits "sport" (4.7.1.2).
            if (rest := level.below.get("#")) is not None:
                yield rest
