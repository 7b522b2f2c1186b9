"""Dead letters of this node and of one below, through the operator API of this one."""

from collections.abc import Awaitable, Callable

import pytest

from littoral.core.errors import Forbidden, TimedOut
from littoral.dashboard.hub_api import HubApi
from littoral.dashboard.letters_api import LettersApi
from littoral.store.dead_letters import PART_BYTES, append_dead_letters, dead_letters
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from tests.support.direct import Direct


def play(story: Callable[[SimTree, SimNode, SimNode, LettersApi], Awaitable[None]], seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        hub = HubApi(Direct(root), "http://cloud", lambda: root.running.operator_token)
        await put_aside(site, b"small", bytes(PART_BYTES + 1), b"last")
        await tree.until(lambda: len(root.records("plant-a/dead-letters")) == 4)
        await story(tree, root, site, LettersApi(hub, "cloud"))
        await tree.stop()

    run(main, seed=seed)


async def put_aside(node: SimNode, *records: bytes) -> None:
    letters = [each for record in records for each in dead_letters("a/b@1", "because", record, 5, "fold/kv")]
    await node.running.store.submit(lambda tx: append_dead_letters(tx, letters))


def test_each_node_is_asked_for_its_own(seed: int) -> None:
    async def story(tree: SimTree, root: SimNode, site: SimNode, letters: LettersApi) -> None:
        await put_aside(root, b"of the root")
        assert [entry.offset for entry in (await letters.page("cloud", 0, 10, {})).letters] == [0]
        assert [entry.offset for entry in (await letters.page("plant-a", 0, 10, {})).letters] == [0, 1, 3]
        assert (await letters.show("plant-a", 3)).record == b"last"
        assert [group.count for group in (await letters.groups("plant-a")).groups] == [3]

    play(story, seed)


def test_one_below_lets_itself_be_read_and_not_changed_unless_its_document_says_so(seed: int) -> None:
    async def story(tree: SimTree, root: SimNode, site: SimNode, letters: LettersApi) -> None:
        with pytest.raises(Forbidden, match=r"spec\.parent\.requests"):
            await letters.act("plant-a", 0, "drop")
        assert site.running.report.now().dead_letters == 3
        await put_aside(root, b"of the root")
        assert await letters.act("cloud", 0, "drop") == "dropped"

    play(story, seed)


def test_of_one_that_does_not_answer_the_copy_here_is_shown(seed: int) -> None:
    async def story(tree: SimTree, root: SimNode, site: SimNode, letters: LettersApi) -> None:
        tree.network.link("plant-a", root.peer_url).cut()
        with pytest.raises(TimedOut):
            await letters.page("plant-a", 0, 10, {})
        copied = await letters.copy("plant-a", 10)
        assert [(entry.offset, entry.head[:5]) for entry in copied] == [(0, "small"), (1, "\0" * 5), (3, "last")]
        assert [entry.offset for entry in await letters.copy("plant-a", 1)] == [3]

    play(story, seed)
