"""What clients may do with topics, by the entries of a node's document."""

import re
from collections.abc import Sequence
from typing import Literal

from littoral.core.resources.mqtt import MqttPermission
from littoral.core.resources.topic_filters import filter_covers, filters_meet, topic_matches
from littoral.wire.mqtt import ReasonCode

Action = Literal["publish", "subscribe"]

_PLACEHOLDER = re.compile("%[uc]")
_WIDENS = re.compile(r"[+#/]|^\$|^$")
"""Names that would mean more than one level, or the server's own topics, in the place of "%u" or "%c"."""


class Permissions:
    """The entries in their order: the first one that is about a client, an action and a topic decides.

    A subscription is to many topics at once: an entry that allows has to allow all of them, and one that denies counts if it
    denies any.
    """

    def __init__(self, entries: Sequence[MqttPermission]) -> None:
        """entries: none of them lets everybody do anything."""
        self._entries = [_Entry(each) for each in entries]

    @property
    def unlimited(self) -> bool:
        """Whether everybody may do anything."""
        return not self._entries

    def may_publish(self, user: str | None, client_id: str, topic: str) -> bool:
        """Whether a client may publish to a topic; its will, too."""
        for entry in self._entries:
            if entry.is_about(user, client_id, "publish") and any(
                pattern == topic if entry.exact else topic_matches(pattern, topic)
                for pattern in entry.patterns(user, client_id)
            ):
                return entry.allows
        return self.unlimited

    def may_subscribe(self, user: str | None, client_id: str, topic_filter: str) -> bool | ReasonCode:
        """Whether a client may subscribe to a filter; of a shared subscription, the filter that is shared. A reason says no, and
        what a client of MQTT 5 is told in place of NOT_AUTHORIZED."""
        for entry in self._entries:
            if entry.is_about(user, client_id, "subscribe") and any(
                entry.decides(pattern, topic_filter) for pattern in entry.patterns(user, client_id)
            ):
                return entry.allows or entry.refusal
        return self.unlimited


class _Entry:
    def __init__(self, entry: MqttPermission) -> None:
        self.allows = entry.effect == "allow"
        self.exact = entry.exact
        self.refusal = ReasonCode.UNSPECIFIED_ERROR if entry.reason == "unspecified" else False
        self._users = frozenset(entry.users)
        self._clients = frozenset(entry.clients)
        self._action = entry.action
        self._fixed = tuple(each for each in entry.topics if not _PLACEHOLDER.search(each))
        self._made = tuple(each for each in entry.topics if _PLACEHOLDER.search(each))

    def is_about(self, user: str | None, client_id: str, action: Action) -> bool:
        """Whether it says something of such a client and action."""
        return (
            self._action in (action, "all")
            and (not self._users or user in self._users)
            and (not self._clients or client_id in self._clients)
        )

    def decides(self, pattern: str, topic_filter: str) -> bool:
        """Whether one of its patterns is about a subscription."""
        if self.exact:
            return pattern == topic_filter
        return filter_covers(pattern, topic_filter) if self.allows else filters_meet(pattern, topic_filter)

    def patterns(self, user: str | None, client_id: str) -> tuple[str, ...]:
        """Its topics, for this client."""
        if not self._made:
            return self._fixed
        names = {"%u": user or "", "%c": client_id}
        made = [self._filled(pattern, names) for pattern in self._made]
        return (*self._fixed, *(pattern for pattern in made if pattern is not None))

    def _filled(self, pattern: str, names: dict[str, str]) -> str | None:
        """None where a name would widen what is allowed. What is denied is denied to such a name altogether."""
        if any(_WIDENS.search(names[found]) for found in _PLACEHOLDER.findall(pattern)):
            if self.allows:
                return None
            return _PLACEHOLDER.sub("+", pattern) if _is_alone(pattern) else "#"
        return _PLACEHOLDER.sub(lambda match: names[match[0]], pattern)


def _is_alone(pattern: str) -> bool:
    """Whether placeholders are whole levels."""
    return all(level in ("%u", "%c") or not _PLACEHOLDER.search(level) for level in pattern.split("/"))
