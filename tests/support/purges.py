"""Gateways that are told of purges."""

from littoral.node.purge_desk import PurgeDesk
from littoral.node.purge_messages import CachedObject, Told
from littoral.node.replies import Replies

HELD = CachedObject("http://edge.test/a", [], {}, 200, 1, 60, 5, 0, [])


class Gateways:
    """Implements `littoral.node.purge_desk.Caches`: of those named, some answer."""

    def __init__(self, desk: PurgeDesk, answering: str = "ab", silent: str = "") -> None:
        self.answering, self.silent = answering, silent
        self.told: list[Told] = []
        desk.attach(self)

    @property
    def heard(self) -> list[str]:
        return [purge.value or purge.kind for told in self.told for purge in told.purges]

    def purge(self, told: Told) -> Replies[list[int]]:
        self.told.append(told)
        replies: Replies[list[int]] = Replies(self.answering + self.silent)
        for name in self.answering:
            replies.say(name, [number + 1 for number in range(len(told.purges))])
        return replies

    def inspect(self, url: str) -> Replies[list[CachedObject]]:
        replies: Replies[list[CachedObject]] = Replies(self.answering)
        for name in self.answering:
            replies.say(name, [HELD])
        return replies

    def top(self, count: int) -> Replies[list[CachedObject]]:
        return self.inspect("")
