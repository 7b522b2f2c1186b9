"""Names that no server answers for: what they hold up, and what not."""

import asyncio
import gc
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from littoral.drivers.name_lookups import DOMAIN_LOOKUPS, NameLookups

DEADLINE_S = 20.0


class Resolver:
    """The system's; for names below `dead` it waits as long as the test does."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.end = threading.Event()

    def look_up(self, host: str, port: object, *args: object, **more: object) -> list[object]:
        self.asked.append(host)
        if host.endswith("dead"):
            self.end.wait()
        if host == "unknown.example":
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made.look_up)
    yield made
    made.end.set()


def play(resolver: Resolver, story: Callable[[NameLookups], Awaitable[None]], lookup_s: float = DEADLINE_S) -> None:
    async def main() -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                await story(NameLookups(lookup_s))
        finally:
            resolver.end.set()

    asyncio.run(main())


def test_a_name_has_the_addresses_that_the_system_says(resolver: Resolver):
    async def story(lookups: NameLookups) -> None:
        assert await lookups.addresses("worker.example") == ["192.0.2.1"]
        with pytest.raises(OSError, match="not known"):
            await lookups.addresses("unknown.example")
        assert await lookups.addresses("worker.example") == ["192.0.2.1"], "a name may mean another address by then"
        assert resolver.asked == ["worker.example", "unknown.example", "worker.example"]

    play(resolver, story)


def test_those_who_want_the_same_name_share_a_lookup(resolver: Resolver):
    async def story(lookups: NameLookups) -> None:
        asking = [asyncio.ensure_future(lookups.addresses(host)) for host in ("a.dead", "a.dead")]
        while not resolver.asked:
            await asyncio.sleep(0)
        resolver.end.set()
        assert await asyncio.gather(*asking) == [["192.0.2.1"], ["192.0.2.1"]]
        assert resolver.asked == ["a.dead"]

    play(resolver, story)


def test_a_name_that_nobody_answers_for_is_not_looked_up_again_while_it_is(resolver: Resolver):
    async def story(lookups: NameLookups) -> None:
        with pytest.raises(TimeoutError):
            await lookups.addresses("a.dead")
        for host in ("a.dead", "A.dead", "a.dead."):
            with pytest.raises(TimeoutError):
                lookups.addresses(host).send(None)  # At once, without waiting for anything.
        assert resolver.asked == ["a.dead"]
        resolver.end.set()
        while lookups._running:
            await asyncio.sleep(0)
        assert await lookups.addresses("a.dead") == ["192.0.2.1"]

    play(resolver, story, 0.05)


def test_many_names_of_one_domain_that_nobody_answers_for_hold_up_no_other(resolver: Resolver):
    async def story(lookups: NameLookups) -> None:
        dead = [asyncio.ensure_future(lookups.addresses(f"n{number}.zone.dead")) for number in range(200)]
        while len(resolver.asked) < DOMAIN_LOOKUPS:
            await asyncio.sleep(0)
        for number in range(20):
            assert await lookups.addresses(f"n{number}.example.org") == ["192.0.2.1"]
        assert sum(1 for host in resolver.asked if host.endswith("dead")) == DOMAIN_LOOKUPS
        while dead:
            dead[-1].cancel()
            await asyncio.wait([dead.pop()])
        resolver.end.set()
        while lookups._running:
            await asyncio.sleep(0)
        gc.collect()
        assert not lookups._lines, "nobody is in them"
        assert len(resolver.asked) == DOMAIN_LOOKUPS + 20, "for those who left nothing is looked up"

    play(resolver, story)
