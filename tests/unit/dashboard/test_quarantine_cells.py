"""What was put aside and is held back, told of a node whose store was really set back to a backup."""

from collections.abc import Awaitable, Callable
from typing import get_args

import msgspec
import pytest

from littoral.core.http import Request, Response
from littoral.core.names import StreamName
from littoral.dashboard.quarantine_cells import (
    NOT_TAKEN,
    REMEDIES,
    aside_line,
    blocked_lines,
    not_taken_lines,
    restored_lines,
)
from littoral.node.stream_messages import LIST, StreamPage
from littoral.streams.blocked import Blocked, BlockedKind
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire import peer
from tests.support import stores
from tests.support.neighbours import uplink_of
from tests.support.restoring import backed_up, restored
from tests.support.statuses import status

NOTES = StreamName("plant-a", "notes")


def play(story: Callable[[SimTree, SimNode, SimNode], Awaitable[None]], seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        await story(tree, root, await tree.start_child("plant-a", "site", root))
        await tree.stop()

    run(main, seed=seed)


async def append(node: SimNode, *records: bytes) -> None:
    await node.running.store.submit(stores.append(NOTES, *records))


async def restored_while_cut_off(tree: SimTree, root: SimNode, site: SimNode) -> None:
    """The site lacks a record that the root has, has another one in its place, and has not met the root since."""
    await append(site, b"kept")
    backup = await backed_up(site)
    await append(site, b"lost by the restore")
    await tree.until(lambda: len(root.records("plant-a/notes")) == 2)
    await restored(site, backup)
    tree.network.link("plant-a", root.peer_url).cut()
    await site.start()
    await append(site, b"another")


async def put_aside(node: SimNode) -> StreamPage:
    token = {"authorization": f"Bearer {node.running.operator_token}"}
    response = await node.running.operator_api.handle(Request("GET", LIST, {"kind": "aside"}, token))
    assert isinstance(response, Response)
    return msgspec.json.decode(response.body, type=StreamPage)


def test_what_a_restored_node_wrote_in_place_of_the_parents_records_is_listed_at_the_root(seed: int) -> None:
    async def story(tree: SimTree, root: SimNode, site: SimNode) -> None:
        await restored_while_cut_off(tree, root, site)
        tree.network.link("plant-a", root.peer_url).restore()
        await tree.until(lambda: root.records("plant-a/quarantine/notes") == [b"another"])
        page = await put_aside(root)
        line = aside_line(page.streams[0], page.now_ms)
        assert line.target == "/stream?name=plant-a%2Fquarantine%2Fnotes"
        assert line.cells[0].sub == "written at plant-a after its restore, where the parent has other records of notes"
        assert (line.cells[1].main, line.cells[1].sub) == ("1", "offset 0")
        (when,) = site.running.report.now().restored_ms
        (told,) = restored_lines([site.running.report.now()])
        assert told.name == f"plant-a {when}"

    play(story, seed)


def test_a_copy_of_a_stream_that_was_made_anew_is_listed(seed: int) -> None:
    async def story(tree: SimTree, root: SimNode, site: SimNode) -> None:
        await append(site, b"first life")
        await tree.until(lambda: root.records("plant-a/notes") == [b"first life"])
        await site.running.store.submit(lambda tx: tx.delete_stream(NOTES))
        await append(site, b"second life")
        await tree.until(lambda: root.records("plant-a/notes") == [b"second life"])
        page = await put_aside(root)
        line = aside_line(page.streams[0], page.now_ms)
        assert line.name == "plant-a/former/notes"
        assert line.cells[0].sub == "what was held of notes before plant-a deleted and made it anew"

    play(story, seed)


def test_a_stream_that_a_fork_holds_back_says_why_and_what_to_do(seed: int) -> None:
    async def story(tree: SimTree, root: SimNode, site: SimNode) -> None:
        await restored_while_cut_off(tree, root, site)
        fork = StreamName("plant-a", "fork")
        await site.running.store.submit(lambda tx: tx.fork_stream(fork, NOTES, 2, asked=""))
        tree.network.link("plant-a", root.peer_url).restore()
        blocked = uplink_of(site).outbox.blocked
        await tree.until(lambda: set(blocked) == {NOTES} and blocked[NOTES].kind == "forked")
        (line,) = blocked_lines([site.running.report.now()])
        assert (line.cells[0].main, line.cells[0].sub) == ("plant-a/notes", "at plant-a")
        assert line.cells[1].main == blocked[NOTES].reason
        assert "forked beyond" in blocked[NOTES].reason
        assert line.cells[1].sub.startswith("Delete the fork")

    play(story, seed)


def test_what_a_node_does_not_take_over_is_in_its_report(seed: int) -> None:
    async def story(tree: SimTree, root: SimNode, site: SimNode) -> None:
        await append(site, b"one", b"two")
        await tree.until(lambda: root.records("plant-a/notes") == [b"one", b"two"])
        assert root.running.report.now().not_taken == {}
        await append(site, b"three")
        (stored,) = site.running.store.read_stored(NOTES, 2, 1000)
        batch = msgspec.structs.replace(stored.batch, crc=stored.batch.crc ^ 1)
        damaged = msgspec.structs.replace(stored, batch=batch)
        for _ in range(2):
            await uplink_of(site).link.call("POST", peer.BATCHES, peer.pack([damaged]))
        assert root.running.report.now().not_taken == {"corrupt": 2}

    play(story, seed)


def test_what_was_not_taken_over_is_told_by_node_and_cause() -> None:
    met = msgspec.structs.replace(status("eu", parent="cloud"), not_taken={"corrupt": 3, "diverged": 1})
    told = [[cell.main for cell in line.cells] for line in not_taken_lines([status("cloud"), met])]
    assert told == [["eu", "corrupt", "3"], ["eu", "diverged", "1"]]
    assert set(met.not_taken) < set(NOT_TAKEN)


@pytest.mark.parametrize("kind", get_args(BlockedKind))
def test_each_kind_says_what_to_do_whatever_the_words(kind: BlockedKind) -> None:
    site = status("plant-a", parent="eu")
    assert site.link is not None
    reasons = {"plant-a/corrupt": Blocked(kind, "<b>refused or corrupt: it is compared</b>")}
    blocked = msgspec.structs.replace(site, link=msgspec.structs.replace(site.link, blocked=reasons))
    (line,) = blocked_lines([blocked])
    assert (line.cells[1].main, line.cells[1].sub) == ("<b>refused or corrupt: it is compared</b>", REMEDIES[kind])
    assert list(REMEDIES.values()).count(line.cells[1].sub) == 1
