"""Looking for retained messages in steps, while others come and go."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from littoral.core.resources import topic_matches
from littoral.iot.message import Message

Branch: TypeAlias = "dict[str | None, Message | Branch]"
"""See `littoral.iot.retained`."""
Held: TypeAlias = "Message | Branch"
Walk = Iterator[Message | None]

_PAUSE_AFTER = 256
"""Looked at without a find: some 0.1 ms."""


def walk(root: Branch, topic_filter: str) -> Walk:
    """The messages of a filter, each once, and None now and then, where there was nothing to find for a while.

    What is there from the beginning to the end is found; what is put or removed meanwhile may be found or not.
    """
    names = topic_filter.split("/")
    ways: list[Iterator[tuple[Held, int]]] = [iter([(root, 0)])]
    looked_at = 0
    while ways:
        for held, depth in ways[-1]:
            looked_at += 1
            if looked_at % _PAUSE_AFTER == 0:
                yield None
            if isinstance(held, dict):
                ways.append(_below(held, names, depth))
                break
            if topic_matches(topic_filter, held.topic):
                yield held
        else:
            ways.pop()


def _below(branch: Branch, names: list[str], depth: int) -> Iterator[tuple[Held, int]]:
    """Where to look next, with how many names lead there. A branch may change while this goes on: what it holds is copied."""
    if depth >= len(names) and names[-1] != "#":
        return _one(branch, None, depth)
    name = names[min(depth, len(names) - 1)]
    if name not in ("+", "#"):
        return _one(branch, name, depth + 1)
    if depth:
        return ((held, depth + 1) for held in list(branch.values()))
    # The server's own are none of those that a wildcard in front means [MQTT-4.7.2-1].
    found: Iterable[Held] = [held for key, held in branch.items() if key is None or not key.startswith("$")]
    return ((held, depth + 1) for held in found)


def _one(branch: Branch, name: str | None, depth: int) -> Iterator[tuple[Held, int]]:
    return iter([(branch[name], depth)] if name in branch else [])
