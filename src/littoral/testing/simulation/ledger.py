"""What clients asked for, what was acknowledged, and what they have seen: what the checks hold the tree to."""

from collections.abc import Callable

import msgspec

from littoral.core.kv import KvEntry

Stamp = tuple[int, str]
"""(hlc, node) of a key-value write: the greater one wins."""


class Write(msgspec.Struct, frozen=True):
    """A key-value write that a client asked for; None deletes."""

    node: str
    namespace: str
    key: str
    value: bytes | None


class Remains(msgspec.Struct, frozen=True):
    """What has to be there of one device's readings at a node whose store was restored from a backup since."""

    windows: int
    """Rows of windows, from the first, that were in the backup or had reached the parent."""
    alerts: int
    published: int
    """How many readings the device had published."""


class Ledger:
    """Of one run."""

    def __init__(self) -> None:
        self.sent: dict[tuple[str, str], list[bytes]] = {}
        """By (node, producer): the records of its appends, in order, whether or not they were answered yet."""
        self.acknowledged: dict[tuple[str, str], int] = {}
        """By (node, producer): how many of them, from the first, were acknowledged."""
        self.readings: dict[tuple[str, str], int] = {}
        """By (node, topic): how many numbered readings its device has published."""
        self.read_acknowledged: dict[tuple[str, str], int] = {}
        """By (node, topic): how many of them were acknowledged."""
        self.remains: dict[tuple[str, str], Remains] = {}
        """By (node, topic): of devices that were given up with their node's store."""
        self.asked: set[Write] = set()
        """Key-value writes that may have happened more than once: the client asked again when it heard nothing."""
        self.newest: dict[tuple[str, str], KvEntry] = {}
        """By (namespace, key): the acknowledged write that wins."""
        self._written: dict[tuple[str, str], list[KvEntry]] = {}
        """By (namespace, key): all acknowledged writes."""
        self.doubtful: dict[tuple[str, str], Stamp] = {}
        """By (namespace, key): the last deletion that was acknowledged and may be lost, or have been forgotten since."""
        self.seen: dict[tuple[str, str, str], KvEntry] = {}
        """By (node, namespace, key): the newest entry a client has read there."""
        self.desired: dict[str, str | None] = {}
        """By resource: the revision last acknowledged as desired; None for withdrawn."""
        self.forks: dict[tuple[str, str], list[bytes]] = {}
        """By (node, path): what each fork that was not deleted has to hold."""
        self.lost = 0
        """Records that were acknowledged, and lost with a store."""
        self.done: dict[str, list[bytes]] = {}
        """By node: the records that it has appended, by its own word, because it was asked to through its inbox."""
        self.poured: dict[str, list[bytes]] = {}
        """By node: the records that it has accepted of those that clients pour, in order."""
        self.forked = 0
        """Records appended to forks that were acknowledged."""
        self.writes = 0
        """Key-value writes that were acknowledged."""
        self.changes = 0
        """Changes of the desired state that were acknowledged."""

    @property
    def acknowledged_records(self) -> int:
        """Records, readings and writes that somebody was promised."""
        return (
            sum(self.acknowledged.values())
            + self.lost
            + sum(self.read_acknowledged.values())
            + self.forked
            + sum(map(len, self.done.values()))
            + sum(map(len, self.poured.values()))
            + self.writes
            + self.changes
        )

    def wrote(self, namespace: str, entry: KvEntry) -> None:
        """A write was acknowledged with this entry."""
        self.writes += 1
        self._written.setdefault((namespace, entry.key), []).append(entry)
        held = self.newest.get((namespace, entry.key))
        if held is None or stamp(entry) > stamp(held):
            self.newest[namespace, entry.key] = entry

    def lose_writes(self, namespace: str, is_lost: Callable[[KvEntry], bool]) -> None:
        """Of acknowledged writes of a namespace that are lost, nothing is promised any more."""
        for (its, key), entries in self._written.items():
            lost = [entry for entry in entries if its == namespace and is_lost(entry)]
            if lost:
                entries[:] = [entry for entry in entries if entry not in lost]
                deletions = [stamp(entry) for entry in lost if entry.value is None]
                self.doubtful[its, key] = max([self.doubtful.get((its, key), (0, "")), *deletions])
                self.newest.pop((its, key))
                if entries:
                    self.newest[its, key] = max(entries, key=stamp)


def stamp(entry: KvEntry) -> Stamp:
    """What decides between two writes."""
    return entry.hlc, entry.node
