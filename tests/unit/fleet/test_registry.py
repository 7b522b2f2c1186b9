"""Who is below a node, and what each of them may have."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
import pytest

from littoral.core.errors import Conflict, Forbidden, LimitReached, StorageFull, Unauthenticated
from littoral.core.resources import Namespace
from littoral.core.resources.namespace import NamespaceSpec
from littoral.core.resources.part import Metadata, Placement
from littoral.fleet.registry import CHANGES_EVERY_S, Registry
from littoral.security.enrolment import ChildRecord, SignRequest, enrol_request
from littoral.security.join import parse_token
from littoral.store.stream import StreamInfo
from littoral.testing.loop import run
from littoral.wire.peer import Member
from tests.support.stores import SimStore, name
from tests.support.tree import Tree

HOUR_MS = 3_600_000
KEY, OTHER_KEY = b"the public key", b"another public key"
NAMESPACES = {
    "everywhere": NamespaceSpec(),
    "sites": NamespaceSpec(placement=Placement(tiers=["site"])),
    "central": NamespaceSpec(mode="read-through"),
    "elsewhere": NamespaceSpec(mode="read-through", placement=Placement(nodes=["plant-b"])),
}


class Parent:
    """A registry on a store; may be opened again, as after a restart."""

    def __init__(self, node: str = "eu", parent: str = "cloud", **limits: int) -> None:
        self.sim = SimStore(node, **limits)
        self.store = self.sim.open()
        self.above = parent
        self.told: list[str] = []
        """Of changes below a child, and of children whose sessions are to end."""
        self.registry = self.make()
        self.tree = Tree()

    def make(self) -> Registry:
        sim = self.sim
        return Registry(
            self.store, self.above, self._namespace, sim.clock, sim.random, sim.limits, self._changed, self._gone
        )

    def _namespace(self, name: str) -> Namespace | None:
        spec = NAMESPACES.get(name)
        return Namespace(api_version="littoral/v1", metadata=Metadata(name=name), spec=spec) if spec else None

    def _changed(self, child: str) -> None:
        self.told.append(f"{child} changed")

    def _gone(self, child: str) -> None:
        self.told.append(f"{child} gone")

    @property
    def changes(self) -> int:
        return sum(1 for each in self.told if each.endswith(" changed"))

    def child(self, node: str) -> ChildRecord:
        return ChildRecord(node=node, public_key=KEY, serial="1", not_after_ms=HOUR_MS)

    async def token(self, node: str, ttl_ms: int = HOUR_MS) -> str:
        return await self.registry.tokens.create(node, "https://eu:1", b"f" * 32, ttl_ms)

    async def enrol(self, node: str) -> None:
        key = self.tree.key()
        await self.registry.use_token(enrol_request(key, parse_token(await self.token(node))))
        await self.registry.add_child(self.tree.child(node, key))

    def info(self, stream: str, via: str = "") -> StreamInfo:
        return msgspec.structs.replace(INFO, name=name(stream), via=via)


INFO = StreamInfo(
    id=1,
    name=name("eu/x"),
    lineage="l",
    content_type="application/msgpack",
    lane="state",
    first=0,
    next=1,
    chain=b"",
    bytes=1,
    created_ms=0,
    retention_bytes=1,
)


def play(story: Callable[[Parent], Awaitable[None]], **options) -> None:
    async def main() -> None:
        await story(Parent(**options))

    run(main)


def test_a_token_lets_one_key_in():
    async def story(parent: Parent) -> None:
        token = parse_token(await parent.token("plant-a"))
        first, second = parent.tree.key(), parent.tree.key()
        await parent.registry.use_token(enrol_request(first, token))
        await parent.registry.use_token(enrol_request(first, token))  # the first answer was lost
        with pytest.raises(Conflict, match="was used already"):
            await parent.registry.use_token(enrol_request(second, token))

    play(story)


def test_a_renewal_that_is_being_written_does_not_undo_an_expulsion():
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        renewed = parent.tree.child("plant-a", parent.tree.key())
        renewal = asyncio.get_running_loop().create_task(parent.registry.add_child(renewed))
        await asyncio.sleep(0)  # it is with the writer now
        await parent.registry.expel("plant-a")
        with pytest.raises(Forbidden, match="expelled"):
            await renewal
        for registry in (parent.registry, parent.make()):
            child = registry.child("plant-a")
            assert child is not None
            assert (child.revoked, child.public_key) == (True, renewed.public_key)
            assert registry.children() == []

    play(story)


def test_it_is_told_who_may_come_whenever_that_changes():
    async def story(parent: Parent) -> None:
        told: list[dict[str, bytes]] = []

        def changed() -> None:
            told.append({each.node: each.public_key for each in parent.registry.admitted()})

        parent.registry.children_changed = changed
        await parent.enrol("plant-a")
        await parent.enrol("plant-b")
        first = told[-1]
        assert set(first) == {"plant-a", "plant-b"}
        await parent.registry.expel("plant-a")
        assert told[-1] == {"plant-b": first["plant-b"]}
        expelled = parent.registry.child("plant-a")
        assert expelled is not None
        await parent.registry.add_child(parent.tree.child("plant-a", parent.tree.key()), expelled.revoked_ms)
        assert set(told[-1]) == {"plant-a", "plant-b"}
        assert told[-1]["plant-a"] != first["plant-a"], "it has come with another key"
        await parent.registry.note_below("plant-b", "plant-a", first["plant-b"])
        assert set(told[-1]) == {"plant-a"}, "the other is below it now"

    play(story)


def test_what_the_disk_refuses_to_note_of_a_child_is_not_so():
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        before = parent.registry.child("plant-a")
        parent.sim.disk.capacity_bytes = 0
        for change in (
            parent.registry.add_child(parent.tree.child("plant-a", parent.tree.key())),
            parent.registry.expel("plant-a"),
        ):
            with pytest.raises(StorageFull):
                await change
            assert parent.registry.child("plant-a") == before

    play(story)


async def expelled(parent: Parent) -> None:
    await parent.registry.expel("plant-a")


async def let_in_again(parent: Parent) -> None:
    child = parent.registry.child("plant-a")
    assert child is not None
    await parent.registry.add_child(msgspec.structs.replace(child, public_key=OTHER_KEY))


async def moved(parent: Parent) -> None:
    await parent.registry.note_below("cell-1", "plant-b", KEY)


async def heard_to_be_elsewhere(parent: Parent) -> None:
    await parent.registry.note_answer(["cell-1"], ["plant-b"], ())


async def back_from_elsewhere(parent: Parent) -> None:
    await parent.registry.greet("plant-c", [Member("plant-c", "site", {})])


async def greeted(parent: Parent) -> None:
    await parent.registry.greet("plant-b", [Member("plant-b", "site", {"new": "yes"})])


async def signed(parent: Parent) -> None:
    await parent.registry.note_signed(SignRequest(node="cell-9", csr_pem=b""), "plant-a", KEY)


@pytest.mark.parametrize(
    "change", [expelled, let_in_again, moved, heard_to_be_elsewhere, back_from_elsewhere, greeted, signed]
)
def test_a_change_whose_request_is_given_up_is_made_to_its_end(
    change: Callable[[Parent], Coroutine[Any, Any, None]],
):
    """The store has it by then: what is in memory, and what others are told, must not differ from it."""

    async def known_after(*, given_up: bool) -> tuple[object, ...]:
        parent = Parent()
        for child in ("plant-a", "plant-b", "plant-c"):
            await parent.registry.add_child(parent.child(child))
        await parent.registry.note_below("cell-1", "plant-a", KEY)
        await parent.registry.greet("plant-a", [Member("plant-a", "site", {}), Member("cell-1", "device", {})])
        await parent.registry.greet("plant-c", [Member("plant-c", "site", {})])
        await parent.registry.note_answer(["plant-c"], [], ())
        parent.told.clear()
        changing = asyncio.get_running_loop().create_task(change(parent))
        if given_up:
            for _ in range(3):
                await asyncio.sleep(0)
            changing.cancel()
        await asyncio.wait([changing])
        assert changing.cancelled() is given_up
        await asyncio.sleep(1)
        known = parent.registry
        of_nodes = (known._via, known._keys, known._former, known._away, known._unproved)
        return known._children, known._members, known._signed.records, of_nodes, parent.told

    assert run(partial(known_after, given_up=True)) == run(partial(known_after, given_up=False))


def test_a_token_ends_with_its_time():
    async def story(parent: Parent) -> None:
        token = parse_token(await parent.token("plant-a", ttl_ms=1))

        await asyncio.sleep(3)
        with pytest.raises(Unauthenticated, match="it expired"):
            await parent.registry.use_token(enrol_request(parent.tree.key(), token))

    play(story)


def test_tokens_that_have_expired_make_room_for_new_ones():

    async def story(parent: Parent) -> None:
        for n in range(3):
            await parent.token(f"plant-{n}", ttl_ms=1000)
        with pytest.raises(LimitReached, match="3 tokens have not expired yet"):
            await parent.token("plant-9")
        await asyncio.sleep(2)
        for n in range(3):
            await parent.token(f"plant-{n}")

    play(story, join_tokens=3)


def test_more_children_than_the_limit_are_refused_and_known_ones_come_back():
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        with pytest.raises(LimitReached, match="its limit children"):
            await parent.enrol("plant-b")
        await parent.enrol("plant-a")

    play(story, children=1)


def test_everything_is_known_again_after_a_restart():
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        await parent.registry.note_below("cell-1", "plant-a", KEY)
        await parent.registry.greet("plant-a", [Member("plant-a", "site", {}), Member("cell-1", "device", {})])
        again = parent.make()
        assert [child.node for child in again.children()] == ["plant-a"]
        assert again.may_write("plant-a", "cell-1")
        assert [member.node for member in again.members(Member("eu", "region", {}))] == ["eu", "plant-a", "cell-1"]

    play(story)


def test_a_child_writes_its_own_and_its_subtrees_streams_only():
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        await parent.enrol("plant-b")
        await parent.registry.note_below("cell-1", "plant-a", KEY)
        may = parent.registry.may_write
        assert may("plant-a", "plant-a")
        assert may("plant-a", "cell-1")
        assert not may("plant-a", "plant-b")
        assert not may("plant-b", "cell-1")
        assert not may("plant-a", "eu")

    play(story)


def test_a_child_speaks_only_for_nodes_below_it_and_once_for_each():
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        site = Member("plant-a", "site", {})
        await parent.registry.greet("plant-a", [site, site, Member("plant-b", "site", {"gold": "yes"})])
        assert parent.registry.members(Member("eu", "region", {}))[1:] == [site]
        assert parent.changes == 1
        await parent.registry.greet("plant-a", [site])
        assert parent.changes == 1, "nothing is new"

    play(story)


@pytest.mark.parametrize(
    ("stream", "via", "followed"),
    [
        ("cloud/desired", "cloud", True),
        ("eu/desired", "", False),
        ("plant-b/desired", "plant-b", False),
        ("eu/kv/everywhere", "", True),
        ("eu/kv/sites", "", True),
        ("eu/kv-down/sites", "", True),
        ("eu/kv/central", "", False),
        ("eu/kv/unknown", "", False),
        ("plant-b/kv/everywhere", "plant-b", False),
        ("eu/windows", "", False),
    ],
)
def test_what_a_child_follows(stream: str, via: str, followed: bool):
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        await parent.registry.greet("plant-a", [Member("plant-a", "site", {})])
        assert parent.registry.follows("plant-a", parent.info(stream, via)) is followed

    play(story)


def test_a_namespace_that_is_placed_nowhere_below_stays_here():
    async def story(parent: Parent) -> None:
        await parent.enrol("cell-1")
        await parent.registry.greet("cell-1", [Member("cell-1", "device", {})])
        assert not parent.registry.follows("cell-1", parent.info("eu/kv/sites"))

    play(story)


def test_two_branches_cannot_have_one_name_even_when_they_ask_at_once():

    async def story(parent: Parent) -> None:
        request = SignRequest(node="plant-a", csr_pem=b"")
        answers = await asyncio.gather(
            parent.registry.note_signed(request, "eu", KEY),
            parent.registry.note_signed(request, "us", KEY),
            return_exceptions=True,
        )
        assert answers[0] is None
        assert isinstance(answers[1], Forbidden)

    play(story, node="cloud", parent="")


def test_two_children_cannot_have_one_name_below_them_even_when_they_ask_at_once():
    async def story(parent: Parent) -> None:
        for child in ("plant-a", "plant-b"):
            await parent.enrol(child)
            parent.registry.check_below("cell-1", child, OTHER_KEY)
        answers = await asyncio.gather(
            parent.registry.note_below("cell-1", "plant-a", KEY),
            parent.registry.note_below("cell-1", "plant-b", OTHER_KEY),
            return_exceptions=True,
        )
        assert answers[0] is None
        assert isinstance(answers[1], Forbidden)
        assert parent.registry.may_write("plant-a", "cell-1")
        assert not parent.registry.may_write("plant-b", "cell-1")

    play(story)


def test_a_node_that_shows_its_key_is_moved_and_what_it_said_before_still_comes():
    async def story(parent: Parent) -> None:
        for child in ("plant-a", "plant-b"):
            await parent.enrol(child)
        await parent.registry.note_below("cell-1", "plant-a", KEY)
        with pytest.raises(Forbidden, match="move the node with its data directory, and its key"):
            parent.registry.check_below("cell-1", "plant-b", OTHER_KEY)
        member = Member("cell-1", "device", {})
        for registry in (parent.registry, parent.make()):
            registry.check_below("cell-1", "plant-b", KEY)
        for _ in range(2):
            await parent.registry.note_below("cell-1", "plant-b", KEY)
            for registry in (parent.registry, parent.make()):
                assert registry.may_write("plant-b", "cell-1")
                assert registry.may_write("plant-a", "cell-1"), "what it holds of the node may not have come yet"
                await registry.greet("plant-a", [member])
                await registry.greet("plant-b", [member])
                assert registry.members(Member("eu", "region", {}))[1:] == [member], (
                    "it is below the one, not the other"
                )
        await parent.registry.note_below("cell-1", "plant-a", KEY)
        assert parent.registry.may_write("plant-b", "cell-1")

    play(story)


def test_a_child_says_whose_child_a_node_is_of_itself_and_of_those_below_it_only():
    async def story(parent: Parent) -> None:
        for child in ("plant-a", "plant-b"):
            await parent.enrol(child)
        await parent.registry.note_below("cell-1", "plant-a", KEY)
        await parent.registry.note_below("cell-2", "plant-a", OTHER_KEY)
        await parent.registry.note_answer(["cell-2"], [], [])

        def at(said: str) -> str:
            request = SignRequest(node="sensor", csr_pem=b"", at=said)
            return parent.registry.passed_on(request, "plant-a").at

        assert [at(each) for each in ("plant-a", "cell-1")] == ["plant-a", "cell-1"]
        assert [at(each) for each in ("plant-b", "cell-2", "eu", "cloud", "unheard-of", "")] == [""] * 6

    play(story)


def test_a_child_that_moves_below_another_is_no_child_any_more():
    async def story(parent: Parent) -> None:
        for child in ("plant-a", "plant-b"):
            await parent.enrol(child)
        record = parent.registry.child("plant-a")
        assert record is not None
        parent.registry.check_below("plant-a", "plant-b", record.public_key)
        await parent.registry.note_below("plant-a", "plant-b", record.public_key)
        for registry in (parent.registry, parent.make()):
            assert [child.node for child in registry.children()] == ["plant-b"]
            assert registry.may_write("plant-b", "plant-a")

    play(story)


def test_a_child_that_moves_below_another_takes_those_below_it_along():
    async def story(parent: Parent) -> None:
        for child in ("plant-a", "plant-b"):
            await parent.enrol(child)
        await parent.registry.note_below("cell-1", "plant-a", KEY)
        await parent.registry.note_signed(SignRequest(node="cell-1", csr_pem=b""), "plant-a", KEY)
        record = parent.registry.child("plant-a")
        assert record is not None
        parent.sim.disk.failing = True
        with pytest.raises(Exception, match="SQLite reports"):
            await parent.registry.note_below("plant-a", "plant-b", record.public_key)
        parent.sim.disk.failing = False
        assert parent.registry.via("cell-1") == "plant-a"
        await parent.registry.note_below("plant-a", "plant-b", record.public_key)
        for registry in (parent.registry, parent.make()):
            assert registry.via("cell-1") == "plant-b"
            assert registry.may_write("plant-b", "cell-1")
            # It may have lost its key there.
            registry.check_below("cell-1", "plant-b", OTHER_KEY)
        await parent.registry.note_signed(SignRequest(node="cell-1", csr_pem=b""), "plant-b", OTHER_KEY)

    play(story)


def test_who_comes_along_with_a_child_is_below_it_once_it_has_shown_its_key():
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        registry = parent.registry
        members = [Member("plant-a", "site", {}), Member("cell-1", "device", {})]
        await registry.greet("plant-a", members)
        assert [registry.is_unproved("plant-a", node) for node in ("plant-a", "cell-1")] == [False, True]
        assert not registry.may_write("plant-a", "cell-1")
        await registry.note_below("cell-1", "plant-a", KEY)
        assert not registry.is_unproved("plant-a", "cell-1")

    play(story)


def test_whom_those_above_take_nothing_of_is_told_once_and_those_above_when_it_has_shown_its_key():
    async def story(parent: Parent) -> None:
        for child in ("plant-a", "plant-b"):
            await parent.enrol(child)
        await parent.registry.note_below("cell-1", "plant-a", KEY)
        registry, told, changes = parent.registry, len(parent.told), parent.changes
        for _ in range(2):
            await registry.note_answer([], ["cell-1", "plant-b", "nobody"], ["plant-a"])
        assert parent.told[told:] == ["plant-a gone", "plant-b gone"]
        assert registry.is_unproved("plant-a", "cell-1")
        await registry.note_below("cell-1", "plant-a", KEY)
        assert parent.changes == changes + 1
        assert not registry.is_unproved("plant-a", "cell-1")
        assert registry.is_unproved("plant-b", "plant-b")
        await registry.note_answer([], [], [])
        assert not registry.is_unproved("plant-b", "plant-b")

    play(story)


def test_who_is_taken_to_be_elsewhere_shows_its_key_when_it_is_back():
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        await parent.registry.note_below("cell-1", "plant-a", KEY)
        registry = parent.registry
        await registry.note_answer(["cell-1", "plant-a"], [], [])
        assert [registry.is_away(node) for node in ("plant-a", "cell-1", "nobody")] == [True, True, False]
        await registry.note_answer([], [], [])
        await registry.greet("plant-a", [Member("plant-a", "site", {}), Member("cell-1", "device", {})])
        assert [registry.is_away(node) for node in ("plant-a", "cell-1")] == [False, True]
        assert registry.is_unproved("plant-a", "plant-a")
        assert registry.is_unproved("plant-a", "cell-1")
        changes = parent.changes
        await registry.note_below("cell-1", "plant-a", KEY)
        assert not registry.is_away("cell-1")
        assert parent.changes == changes + 1

    play(story)


def test_a_node_below_that_could_not_be_stored_is_not_below():
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        parent.sim.disk.failing = True
        with pytest.raises(Exception, match="SQLite reports"):
            await parent.registry.note_below("cell-1", "plant-a", KEY)
        parent.sim.disk.failing = False
        assert not parent.registry.may_write("plant-a", "cell-1")

    play(story)


def test_a_stranger_without_a_token_does_not_reach_the_writer():
    async def story(parent: Parent) -> None:
        token = msgspec.structs.replace(parse_token(await parent.token("plant-a")), secret=bytes(32))
        with pytest.raises(Unauthenticated, match="it is unknown here"):
            # A step that is not suspended: nothing was submitted.
            parent.registry.use_token(enrol_request(parent.tree.key(), token)).send(None)

    play(story)


def test_a_child_that_alternates_its_members_is_made_to_wait():
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        await parent.enrol("plant-b")
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        for n in range(4):
            await parent.registry.greet("plant-a", [Member("plant-a", "site", {"n": str(n)})])
        assert parent.changes == 4
        assert now_s() - began_s == pytest.approx(2 * CHANGES_EVERY_S, abs=0.1), "two at once, then one at a time"
        # Whoever comes meanwhile has the next turn, together with it; and of two from one child the later counts.
        await asyncio.gather(
            parent.registry.greet("plant-a", [Member("plant-a", "site", {"n": "5"})]),
            parent.registry.greet("plant-a", [Member("plant-a", "site", {"n": "6"})]),
            parent.registry.greet("plant-b", [Member("plant-b", "site", {})]),
        )
        assert now_s() - began_s == pytest.approx(3 * CHANGES_EVERY_S, abs=0.1)
        assert parent.changes == 6
        labels = {member.node: member.labels for member in parent.registry.members(Member("eu", "region", {}))}
        assert labels == {"eu": {}, "plant-a": {"n": "6"}, "plant-b": {}}

    play(story, subtree_changes=2)


@pytest.mark.parametrize(
    ("namespace", "allowed"), [("central", True), ("elsewhere", False), ("everywhere", False), ("unknown", True)]
)
def test_what_a_child_may_ask_for(namespace: str, allowed: bool):
    async def story(parent: Parent) -> None:
        await parent.enrol("plant-a")
        await parent.registry.greet("plant-a", [Member("plant-a", "site", {})])
        assert parent.registry.may_ask("plant-a", namespace) is allowed

    play(story)


def test_a_name_that_could_not_be_stored_is_free_again():
    async def story(parent: Parent) -> None:
        request = SignRequest(node="plant-a", csr_pem=b"")
        parent.sim.disk.failing = True
        with pytest.raises(Exception, match="SQLite reports"):
            await parent.registry.note_signed(request, "eu", KEY)
        parent.sim.disk.failing = False
        await parent.registry.note_signed(request, "us", KEY)

    play(story, node="cloud", parent="")


def test_the_root_signs_for_no_more_nodes_than_the_limit():
    async def story(parent: Parent) -> None:
        await parent.registry.note_signed(SignRequest(node="plant-a", csr_pem=b""), "eu", KEY)
        with pytest.raises(LimitReached, match="the limit tree-nodes"):
            await parent.registry.note_signed(SignRequest(node="plant-b", csr_pem=b""), "eu", KEY)
        await parent.registry.note_signed(SignRequest(node="plant-a", csr_pem=b""), "eu", KEY)

    play(story, node="cloud", parent="", tree_nodes=1)
