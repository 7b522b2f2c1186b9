"""The main job while links fail: cut in silence, reset, or in one direction; answers lost; whole parts cut off."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from littoral.streams.uplink import Uplink
from littoral.testing.loop import run
from littoral.testing.net import Direction, Link
from littoral.testing.random import SeededRandom
from littoral.testing.tree import SimNode, SimTree
from tests.support.vertical import (
    READINGS,
    SPIKES,
    WINDOWS,
    Vertical,
    alerts_at,
    entries_of,
    readings_at,
    windows_at,
)

LINKS = (("eu", "cloud"), ("plant-a", "eu"))
CUT_S = (0.5, 40.0)
"""Shorter and longer than the timeouts of uplink and enrolment."""
ROUNDS = 4
LOST_RESPONSES = 5


def links(vertical: Vertical, child: str, parent: str) -> list[Link]:
    """The two ways from a child to its parent: for peers, and for joining."""
    node = vertical.tree.nodes[parent]
    return [vertical.tree.network.link(child, url) for url in (node.peer_url, node.join_url)]


async def another_request(vertical: Vertical) -> None:
    counts = vertical.tree.network.counts
    sent = counts["requests"]
    await vertical.until(lambda: counts["requests"] > sent)


def simulate(seed: int, main: Callable[[Vertical, SeededRandom], Awaitable[None]], sites: int = 1) -> None:
    async def body() -> None:
        vertical = Vertical(SimTree(seed), sites)
        await main(vertical, SeededRandom(seed).fork("faults"))
        await vertical.settle()
        vertical.check()
        await vertical.stop()

    run(body, seed=seed)


@pytest.mark.parametrize("reset", [False, True], ids=["silent", "reset"])
@pytest.mark.parametrize("direction", ["both", "requests", "responses"])
@pytest.mark.parametrize("ends", LINKS, ids="-".join)
def test_a_link_that_is_cut_again_and_again_loses_and_repeats_nothing(
    ends: tuple[str, str], direction: Direction, reset: bool, seed: int
):
    async def main(vertical: Vertical, random: SeededRandom) -> None:
        for link in links(vertical, *ends):
            link.delay_s = 0.02

        async def fault() -> None:
            # The first cut falls into start and enrolment.
            for _ in range(ROUNDS):
                await asyncio.sleep(random.uniform(0.0, 1.5))
                for link in links(vertical, *ends):
                    link.cut(direction, reset=reset)
                await asyncio.sleep(random.uniform(*CUT_S))
                for link in links(vertical, *ends):
                    link.restore()

        vertical.start(fault())
        await vertical.work()

    simulate(seed, main)


@pytest.mark.parametrize("number", range(3))
def test_lost_answers_make_duplicates_of_frames_and_none_of_records(number: int, seed: int):
    async def main(vertical: Vertical, random: SeededRandom) -> None:
        for ends in LINKS:
            for link in links(vertical, *ends):
                link.delay_s, link.jitter_s, link.loss = 0.02, 0.05, 0.1
        await vertical.work()
        await vertical.until(vertical.arrived)
        while vertical.tree.network.counts["responses_lost"] < LOST_RESPONSES:
            await vertical.write(random.choice([*vertical.sites, vertical.root]), "again", random.token_bytes(8))
            await asyncio.sleep(1.0)
        for ends in LINKS:
            for link in links(vertical, *ends):
                link.loss = 0.0

    simulate(seed + number, main)


def test_a_site_goes_on_while_its_region_is_dead(seed: int):
    async def main(vertical: Vertical, random: SeededRandom) -> None:
        site = vertical.sites[0]
        vertical.supervisor.watch_all()
        await vertical.deploy()
        vertical.supervisor.leave(vertical.region)
        vertical.region.cut_power()
        await vertical.publish()
        await vertical.until(lambda: len(windows_at(site, site)) == len(WINDOWS))
        assert alerts_at(site, site) == list(SPIKES)
        await vertical.write(site, "operator", b"ada")
        assert entries_of(site)["operator"] == b"ada"
        # The site itself dies and comes back without anybody to ask.
        site.cut_power()
        await vertical.until(lambda: site.hub is not None)
        assert windows_at(site, site) == WINDOWS
        assert set(readings_at(site)) == set(range(READINGS))
        assert entries_of(site)["operator"] == b"ada"
        vertical.supervisor.watch(vertical.region)

    simulate(seed, main)


@pytest.mark.parametrize("end", ["kill", "cut_power"])
@pytest.mark.parametrize("parent", ["cloud", "eu"])
def test_a_parent_that_dies_with_a_frame_in_flight(parent: str, end: str, seed: int):
    async def main(vertical: Vertical, random: SeededRandom) -> None:
        vertical.supervisor.watch_all()
        await vertical.deploy()
        for ends in LINKS:
            for link in links(vertical, *ends):
                link.delay_s = 0.1

        async def fault() -> None:
            for _ in range(ROUNDS):
                await vertical.until(lambda: vertical.tree.nodes[parent].hub is not None)
                # Requests are on their way or being answered as soon as one more was counted.
                await another_request(vertical)
                await asyncio.sleep(random.uniform(0.0, 0.2))
                getattr(vertical.tree.nodes[parent], end)()

        vertical.start(fault())
        await vertical.publish()
        await vertical.write(vertical.root, "recipe", b"one")

    simulate(seed, main)


def test_what_the_parent_has_not_answered_counts_as_waiting(seed: int):
    async def main(vertical: Vertical, random: SeededRandom) -> None:
        site = vertical.sites[0]
        vertical.supervisor.watch_all()
        await vertical.deploy()
        (link, _) = links(vertical, "plant-a", "eu")
        await vertical.until(lambda: uplink_of(site).state.connected)
        link.cut("requests")
        await vertical.publish()
        await vertical.until(lambda: len(windows_at(site, site)) == len(WINDOWS))
        for _ in range(3):
            assert uplink_of(site).outbox.depth("alerts").records == len(SPIKES)
            await asyncio.sleep(20)
        link.restore()
        await vertical.until(lambda: uplink_of(site).outbox.depth("alerts").records == 0)
        assert alerts_at(vertical.region, site) == list(SPIKES)
        await vertical.write(vertical.root, "recipe", b"one")

    simulate(seed, main)


def uplink_of(node: SimNode) -> Uplink:
    uplink = node.running.uplink
    assert uplink is not None
    return uplink


def test_writes_on_both_sides_of_a_partition_converge_to_the_last(seed: int):
    async def main(vertical: Vertical, random: SeededRandom) -> None:
        site = vertical.sites[0]
        vertical.supervisor.watch_all()
        await vertical.deploy()
        for link in links(vertical, "plant-a", "eu"):
            link.cut()
        last = {}
        for turn in range(8):
            node = (site, vertical.root)[turn % 2]
            key = f"k{random.randrange(3)}"
            last[key] = value = f"{node.name}{turn}".encode()
            await vertical.write(node, key, value)
            await asyncio.sleep(random.uniform(0.01, 1.0))
        assert entries_of(site) != entries_of(vertical.root)
        await vertical.publish()
        for link in links(vertical, "plant-a", "eu"):
            link.restore()
        # The clocks of a simulation agree unless told otherwise, so the last by the clock is the last.
        assert vertical.written == last

    simulate(seed, main)


def test_two_sites_converge_through_their_region_while_the_cloud_is_cut_off(seed: int):
    async def main(vertical: Vertical, random: SeededRandom) -> None:
        first, second = vertical.sites
        vertical.supervisor.watch_all()
        await vertical.deploy()
        for link in links(vertical, "eu", "cloud"):
            link.cut()
        await vertical.write(first, "one", b"1")
        await vertical.write(second, "two", b"2")
        await vertical.write(second, "one", b"3")
        await vertical.publish()
        await vertical.until(
            lambda: (
                entries_of(first) == entries_of(second) == entries_of(vertical.region) and len(entries_of(first)) >= 3
            )
        )
        assert entries_of(first)["one"] == b"3"
        assert "one" not in entries_of(vertical.root)
        for link in links(vertical, "eu", "cloud"):
            link.restore()

    simulate(seed, main, sites=2)
