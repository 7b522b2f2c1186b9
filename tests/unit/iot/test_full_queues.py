"""A session's queue at its limit follows its policy, and recovers by itself."""

from collections.abc import Callable, Coroutine

import pytest

from littoral.testing.loop import run
from tests.support.mqtt_peer import Peer
from tests.support.mqtt_site import MqttSite
from tests.support.stores import SimStore, column

MOST = 5


class Absence:
    """A publisher, and a subscriber that has been there and is away."""

    def __init__(self, site: MqttSite, publisher: Peer, subscriber: Peer) -> None:
        self.site, self.publisher, self.subscriber = site, publisher, subscriber

    async def publish(self, *numbers: int, size: int = 0) -> None:
        for number in numbers:
            self.publisher.publish("t/1", b"%d" % number + b" " * size, 2)
        await self.site.until(lambda: self.publisher.idle)

    async def fetch(self) -> list[int]:
        """What the subscriber gets when it comes, the last of it being new."""
        self.subscriber.received.clear()
        self.site.come(self.subscriber)
        await self.site.until(lambda: self.subscriber.open)
        await self.publish(1000)
        await self.site.until(lambda: b"1000" in self.subscriber.payloads)
        self.site.leave(self.subscriber)
        return [int(payload) for payload in self.subscriber.payloads]


def play(story: Callable[[Absence], Coroutine[None, None, None]], *, reject_new: bool = False, **limits: int) -> None:
    async def main() -> None:
        sim = SimStore("plant-a", **limits)
        publisher, subscriber = Peer("p", 5), Peer("s", 5, "t/#")
        site = MqttSite(sim, publisher, subscriber, reject_new=reject_new)
        await site.until(lambda: publisher.open and subscriber.subscribed)
        site.leave(subscriber)
        await story(Absence(site, publisher, subscriber))
        await site.stop()
        await sim.close()

    run(main)


@pytest.mark.parametrize(("reject_new", "left"), [(False, [3, 4, 5, 6, 7]), (True, [0, 1, 2, 3, 4])])
@pytest.mark.parametrize("crashes", [False, True])
def test_a_full_queue_drops_its_oldest_or_takes_nothing_more(left: list[int], *, reject_new: bool, crashes: bool):
    async def story(absence: Absence) -> None:
        site = absence.site
        await absence.publish(*range(8))
        session = site.broker.sessions.get("s")
        assert session is not None
        assert (session.deliveries.waiting, session.deliveries.dropped) == (MOST, 3)
        await site.sessions.flush()
        assert len(list(column(site.store._connection, "SELECT number FROM mqtt_messages"))) == MOST
        if crashes:
            site.sim.cut_power()
        # There is room again as soon as the client has taken what there is.
        assert await absence.fetch() == [*left, 1000]
        await absence.publish(20, 21)
        assert await absence.fetch() == [20, 21, 1000]

    play(story, reject_new=reject_new, mqtt_queue_messages=MOST)


def test_large_messages_count_by_their_bytes():
    async def story(absence: Absence) -> None:
        await absence.publish(0, 1, 2, 3, size=400)
        assert await absence.fetch() == [2, 3, 1000]

    play(story, mqtt_queue_bytes=1000)
