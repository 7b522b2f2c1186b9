"""Which streams and namespaces of a node its children have: those that are placed on them, or on anybody below them."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from littoral.core.names import StreamName
from littoral.core.resources import GlobalTopics, Namespace, placement_matches
from littoral.fleet.desired import DESIRED, is_desired
from littoral.fleet.inbox import addressee, inbox_of, is_inbox
from littoral.fleet.purges import PURGES
from littoral.iot.global_records import tree_name
from littoral.store.kv import kv_namespace
from littoral.store.stream import StreamInfo
from littoral.wire.peer import Member


class Following:
    """Implements `littoral.streams.channels.Followers`."""

    def __init__(
        self,
        node: str,
        parent: str,
        namespaces: Callable[[str], Namespace | None],
        topics: Callable[[str], GlobalTopics | None],
        members: Mapping[str, Sequence[Member]],
    ) -> None:
        """parent: the parent's name; empty at the root. namespaces, topics: the desired Namespace or GlobalTopics of a name, or
        None. members: what each child has said of itself and those below it, as it is now."""
        self._node = node
        self._parent = parent
        self._namespaces = namespaces
        self._topics = topics
        self._members = members

    def is_shared(self, info: StreamInfo) -> bool:
        """See Followers.is_shared."""
        if info.name.path == DESIRED:
            return is_desired(info, self._node, self._parent)
        own = info.name.origin == self._node
        shared = info.name.path == PURGES or kv_namespace(info.name.path) is not None
        return own and (shared or tree_name(info.name.path) is not None or is_inbox(info.name))

    def addressee(self, name: StreamName) -> str | None:
        """See Followers.addressee."""
        return addressee(name)

    def follows(self, child: str, info: StreamInfo) -> bool:
        """See Followers.follows."""
        if info.via == child:
            return False
        if info.name.path == DESIRED:
            return is_desired(info, self._node, self._parent)
        if is_inbox(info.name):
            return info.name == inbox_of(self._node, child)
        if info.name.path == PURGES:
            return info.name.origin == self._node
        if (group := tree_name(info.name.path)) is not None:
            return info.name.origin == self._node and self._gets_messages(child, group)
        name = kv_namespace(info.name.path)
        if name is None or info.name.origin != self._node:
            return False
        namespace = self._namespaces(name)
        if namespace is None or namespace.spec.mode != "replicated":
            return False
        return is_placed_among(namespace, self._members.get(child, ()))

    def _gets_messages(self, child: str, group: str) -> bool:
        """Whether messages of such global topics go down to `child`."""
        topics = self._topics(group)
        if topics is None or topics.spec.to != "tree":
            return False
        return is_placed_among(topics, self._members.get(child, ()))

    def may_ask(self, child: str, namespace: str) -> bool:
        """Whether `child` may read and write a namespace through this node: what is replicated it holds, or not."""
        found = self._namespaces(namespace)
        if found is None:
            # Whoever answers says that there is none.
            return True
        return found.spec.mode == "read-through" and is_placed_among(found, self._members.get(child, ()))


def is_placed_among(resource: Namespace | GlobalTopics, members: Iterable[Member]) -> bool:
    """Whether a namespace, or global topics, are placed on any of these nodes."""
    placement = resource.spec.placement
    return any(
        placement_matches(placement, tier=member.tier, node=member.node, labels=member.labels) for member in members
    )
