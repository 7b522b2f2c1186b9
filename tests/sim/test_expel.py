"""A node that was expelled is out, with all below it, whatever it shows; and one that was moved is listed where it is."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest

from littoral.core.errors import Forbidden, NotFound
from littoral.core.names import StreamName
from littoral.core.resources.model import Parent
from littoral.node.enrolment import renew
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from tests.support.asking import call, json_of

HUNDRED_DAYS_MS = 100 * 86_400_000
LIMIT_S = 1800.0


def append(stream: StreamName, record: bytes, tx: Transaction) -> None:
    tx.open_stream(stream)
    tx.append(stream, [record])


class Branches:
    """cloud <- eu <- plant-a <- cell-1, and cloud <- us."""

    def __init__(self, seed: int) -> None:
        self.tree = SimTree(seed)

    async def start(self) -> None:
        self.root = await self.tree.start_root("cloud")
        self.eu = self.tree.add("eu", "region", self.root)
        self.us = await self.tree.start_child("us", "region", self.root)
        self.allow_all(self.eu)
        await self.eu.start(await self.tree.token(self.root, "eu"))
        self.site = await self.tree.start_child("plant-a", "site", self.eu)
        self.cell = await self.tree.start_child("cell-1", "device", self.site)
        await self.tree.until(lambda: {"plant-a", "cell-1"} <= self.listed(self.root))

    def allow_all(self, node: SimNode) -> None:
        self.point(node, requests="all")

    def point(self, node: SimNode, **fields: str) -> None:
        spec = node.config.spec
        assert spec.parent is not None
        parent = msgspec.structs.replace(spec.parent, **fields)
        node.config = msgspec.structs.replace(node.config, spec=msgspec.structs.replace(spec, parent=parent))

    def listed(self, node: SimNode) -> set[str]:
        """By the node's own word; each once."""
        names = [status.node for status in node.running.report.nodes()]
        assert len(names) == len(set(names))
        return set(names)

    async def append(self, node: SimNode, record: bytes) -> None:
        await node.running.store.submit(partial(append, StreamName(node.name, "log"), record))

    async def stop(self, node: SimNode) -> None:
        hub = node.running
        await hub.stop()
        self.tree.check(hub)
        node.hub = None

    async def move(self, parent: SimNode) -> None:
        await self.stop(self.site)
        self.point(self.site, url=parent.peer_url, join_url=parent.join_url)
        await self.site.start(await self.tree.token(parent, "plant-a"))

    def link_error(self) -> str:
        uplink = self.site.running.uplink
        assert uplink is not None
        return "" if uplink.state.connected else uplink.state.last_error


def simulate(seed: int, story: Callable[[Branches], Awaitable[None]]) -> None:
    async def main() -> None:
        branches = Branches(seed)
        await branches.start()
        await story(branches)
        await branches.tree.stop()

    run(main, seed, LIMIT_S)


@pytest.mark.parametrize("asked", ["eu", "cloud"])
def test_an_expelled_node_and_all_below_it_are_out(asked: str, seed: int):
    async def story(all_: Branches) -> None:
        await all_.append(all_.cell, b"before")
        await all_.tree.until(lambda: all_.root.records("cell-1/log") == [b"before"])
        answer = await call(all_.tree.nodes[asked], "DELETE", "/v1/nodes/plant-a")
        assert answer.status == 204
        await all_.tree.until(lambda: "was expelled" in all_.link_error())
        await all_.append(all_.cell, b"after")
        await all_.append(all_.site, b"after")
        await all_.tree.until(lambda: not {"plant-a", "cell-1"} & all_.listed(all_.root))
        assert "plant-a" not in all_.eu.running.report.now().children
        await asyncio.sleep(120)
        assert not {"plant-a", "cell-1"} & all_.listed(all_.root)
        assert all_.root.records("cell-1/log") == [b"before"], "what it brought stays"
        assert all_.root.records("plant-a/log") == []
        metrics = (await call(all_.eu, "GET", "/metrics")).body.decode()
        assert "littoral_children_expelled 1.0" in metrics
        assert "littoral_children 0.0" in metrics
        gone = await call(all_.root, "GET", "/v1/nodes/plant-a/api/v1/status")
        # The root may not have heard of it; then the region says it.
        assert (gone.status, "no node of that name below it" in json_of(gone)["cause"]) == (404, True)

    simulate(seed, story)


def test_expelling_is_for_those_whom_the_parent_lets(seed: int):
    async def story(all_: Branches) -> None:
        await all_.stop(all_.eu)
        all_.point(all_.eu, requests="read")
        await all_.eu.start()
        answer = await call(all_.root, "DELETE", "/v1/nodes/plant-a")
        assert (
            answer.status,
            "set spec.parent.requests to all in the document of eu" in json_of(answer)["remedy"],
        ) == (
            403,
            True,
        )
        assert "plant-a" in all_.listed(all_.eu)
        for name, status in (("cloud", 409), ("nobody", 404), ("Nobody", 400)):
            assert (await call(all_.root, "DELETE", f"/v1/nodes/{name}")).status == status

    simulate(seed, story)


@pytest.mark.parametrize("restarts", [False, True])
def test_an_expelled_node_whose_certificate_expired_cannot_renew(restarts: bool, seed: int):
    async def story(all_: Branches) -> None:
        unused = await all_.eu.running.create_token("plant-a", 2 * HUNDRED_DAYS_MS)
        await asyncio.sleep(1)
        await all_.eu.running.registry.expel("plant-a")
        if restarts:
            all_.eu.cut_power()
            await asyncio.sleep(1)
            await all_.eu.start()
        for node in all_.tree.nodes.values():
            node.clock.step(HUNDRED_DAYS_MS)
        hub = all_.site.running
        assert hub.identity.expired(all_.site.clock.wall_ms())
        with pytest.raises(Forbidden, match="expelled"):
            await renew(all_.site.config, hub.identity, hub.seams)
        await all_.tree.until(all_.link_error)
        await all_.stop(all_.site)
        # Nor does a token help that was made before it was expelled.
        await all_.site.start(unused)
        await asyncio.sleep(60)
        assert "expelled" in all_.link_error()
        assert all_.site.renewals == 0
        await all_.stop(all_.site)
        await all_.site.start(await all_.tree.token(all_.eu, "plant-a"))
        await all_.tree.until(lambda: {"plant-a", "cell-1"} <= all_.listed(all_.root))

    simulate(seed, story)


def test_a_renewal_under_way_does_not_let_an_expelled_node_in(seed: int):
    async def story(all_: Branches) -> None:
        link = all_.tree.network.link("eu", all_.root.peer_url)
        link.delay_s = 2.0
        hub = all_.site.running
        renewal = asyncio.get_running_loop().create_task(renew(all_.site.config, hub.identity, hub.seams))
        await asyncio.sleep(1)
        await all_.eu.running.registry.expel("plant-a")
        with pytest.raises(Forbidden, match="expelled"):
            await renewal
        child = all_.eu.running.registry.child("plant-a")
        assert child is not None
        assert child.revoked

    simulate(seed, story)


def test_a_node_that_was_moved_is_listed_where_it_is(seed: int):
    async def story(all_: Branches) -> None:
        await all_.move(all_.us)
        await all_.tree.until(lambda: "plant-a" in all_.us.running.report.now().children)
        await all_.tree.until(lambda: "plant-a" not in all_.eu.running.report.now().children)
        await all_.tree.until(lambda: "plant-a" not in all_.listed(all_.eu))
        assert "plant-a" in all_.listed(all_.root)
        assert all_.root.running.registry.via("plant-a") == "us"
        assert json_of(await call(all_.root, "GET", "/v1/nodes/plant-a/api/v1/status"))["link"]["parent"] == "us"
        all_.eu.cut_power()
        await asyncio.sleep(1)
        await all_.eu.start()
        assert "plant-a" not in all_.listed(all_.eu)
        await all_.move(all_.eu)
        await all_.tree.until(lambda: "plant-a" in all_.eu.running.report.now().children)
        await all_.tree.until(lambda: "plant-a" not in all_.us.running.report.now().children)

    simulate(seed, story)


def test_a_move_that_is_not_one_takes_no_connected_child_off_the_list(seed: int):
    """A node above that was restored from a backup may be mistaken."""

    async def story(all_: Branches) -> None:
        registry = all_.eu.running.registry
        await registry.note_answer(["plant-a", "nobody"], [], all_.eu.running.peers.connected)
        assert registry.via("plant-a") == "plant-a"
        all_.site.cut_power()
        await all_.tree.until(lambda: not all_.eu.running.peers.connected)
        await registry.note_answer(["plant-a"], [], all_.eu.running.peers.connected)
        assert registry.via("plant-a") is None
        assert registry.via("cell-1") is None
        with pytest.raises(NotFound):
            await registry.expel("nobody")
        await all_.site.start()
        await all_.tree.until(lambda: registry.via("cell-1") == "plant-a")
        await all_.tree.until(lambda: {"plant-a", "cell-1"} <= all_.listed(all_.root))

    simulate(seed, story)


def test_a_parent_below_the_one_that_knows_is_told_too(seed: int):
    """cell-1 is moved from plant-a to us: cloud tells eu, and eu plant-a."""

    async def story(all_: Branches) -> None:
        await all_.stop(all_.cell)
        spec = all_.cell.config.spec
        parent = Parent(url=all_.us.peer_url, join_url=all_.us.join_url)
        all_.cell.config = msgspec.structs.replace(all_.cell.config, spec=msgspec.structs.replace(spec, parent=parent))
        await all_.cell.start(await all_.tree.token(all_.us, "cell-1"))
        await all_.tree.until(lambda: "cell-1" not in all_.site.running.report.now().children)
        await all_.tree.until(lambda: "cell-1" not in all_.listed(all_.eu))
        assert "cell-1" in all_.listed(all_.us)
        await all_.append(all_.cell, b"here")
        await all_.tree.until(lambda: all_.root.records("cell-1/log") == [b"here"])

    simulate(seed, story)
