"""All subscriptions of a broker, by topic filter."""

from collections.abc import Sequence

from littoral.iot.route import Target
from littoral.iot.session import Session
from littoral.iot.shared import SharedGroup
from littoral.iot.terms import Grant
from littoral.iot.topics import TopicTree
from littoral.wire.mqtt import split_shared


class Subscriptions:
    """Those of sessions, and those that several sessions share."""

    def __init__(self) -> None:
        self._tree: TopicTree[Session, Grant] = TopicTree()
        self._shared: TopicTree[SharedGroup, None] = TopicTree()
        self._groups: dict[tuple[str, str], SharedGroup] = {}

    def add(self, session: Session, grant: Grant) -> None:
        """Add a subscription, or change its terms."""
        topic_filter = grant.subscription.filter
        session.grants[topic_filter] = grant
        name, shared = split_shared(topic_filter)
        if name is None:
            self._tree.add(topic_filter, session, grant)
            return
        group = self._groups.get((name, shared))
        if group is None:
            group = self._groups[name, shared] = SharedGroup(name, shared)
            self._shared.add(shared, group, None)
        group.add(session, grant)

    def remove(self, session: Session, topic_filter: str) -> SharedGroup | None:
        """Take a subscription back; there is one. Returns the group that the session has left."""
        del session.grants[topic_filter]
        name, shared = split_shared(topic_filter)
        if name is None:
            self._tree.remove(topic_filter, session)
            return None
        group = self._groups[name, shared]
        group.remove(session)
        if not group:
            del self._groups[name, shared]
            self._shared.remove(shared, group)
        return group

    def match(self, topic: str) -> tuple[Sequence[Target], Sequence[SharedGroup]]:
        """Who gets the messages of a topic."""
        targets = [Target.of(session, grants) for session, grants in self._tree.match(topic).items()]
        return targets, list(self._shared.match(topic))
