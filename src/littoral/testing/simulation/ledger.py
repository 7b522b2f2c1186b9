"""What clients asked for, what was acknowledged, and what they have seen: what the checks hold the tree to."""

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
        self.asked: set[Write] = set()
        """Key-value writes that may have happened more than once: the client asked again when it heard nothing."""
        self.newest: dict[tuple[str, str], KvEntry] = {}
        """By (namespace, key): the acknowledged write that wins."""
        self.seen: dict[tuple[str, str, str], KvEntry] = {}
        """By (node, namespace, key): the newest entry a client has read there."""
        self.desired: dict[str, str | None] = {}
        """By resource: the revision last acknowledged as desired; None for withdrawn."""
        self.forks: dict[tuple[str, str], list[bytes]] = {}
        """By (node, path): what each fork that was not deleted has to hold."""
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
            + sum(self.read_acknowledged.values())
            + self.forked
            + self.writes
            + self.changes
        )

    def wrote(self, namespace: str, entry: KvEntry) -> None:
        """A write was acknowledged with this entry."""
        self.writes += 1
        held = self.newest.get((namespace, entry.key))
        if held is None or stamp(entry) > stamp(held):
            self.newest[namespace, entry.key] = entry


def stamp(entry: KvEntry) -> Stamp:
    """What decides between two writes."""
    return entry.hlc, entry.node
