"""What a node knows of its subtree: children with their keys, who lies below whom.

Kept in the store under these scopes:

    children      node -> ChildRecord          direct children
    subtree       node -> via                  everybody below, and the child through which
    keys          node -> public key (DER)     of everybody below
    former        node -> [via]                through which other children it was reached before it was moved
    members       child -> [Member]            what each child said of itself and those below it
    signed        node -> SignedRecord         at the root: see SignedNodes
    away          node -> nothing              of those below, who is elsewhere in the tree now

A child that was expelled stays among the children, so that it is refused by its name. One that is elsewhere stays as well:
only the nodes above know that it is, and one of them that was restored from a backup may be mistaken. It is not listed,
and when it says hello here it is back.

A child that moves below another takes those along that are known to lie below it. But one that comes with nodes below it
that are not, because it was elsewhere, or this node was restored, brings only their names: a forged one would take a node
from where it is. They are below it here once they have shown their keys, which they do when they are told: by renewing
their certificates, for which all above are asked to sign. So they are known at all of these.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import Forbidden, LimitReached, NotFound
from littoral.core.limits import CHILDREN, SUBTREE_CHANGES, Limits
from littoral.core.names import StreamName
from littoral.core.random import Random
from littoral.core.resources import GlobalTopics, Namespace
from littoral.core.tasks import run_to_end
from littoral.fleet.following import Following
from littoral.fleet.inbox import inbox_of
from littoral.fleet.join_tokens import JoinTokens
from littoral.fleet.rate_limiter import RateLimiter
from littoral.fleet.signed_nodes import SignedNodes
from littoral.fleet.state_tables import load_table, restore_entry
from littoral.security.enrolment import (
    ChildRecord,
    EnrolRequest,
    SignRequest,
    expelled,
)
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.wire.peer import Member

CHANGES_EVERY_S = 10.0
"""Less than a child waits for an answer; long enough to send some frames over a slow link."""
MEMBERS = "members"
"""The scope that the key-value fold reads, too."""
SUBTREE = "subtree"
"""The scope that snapshots read, too."""
CHILDREN_SCOPE = "children"
AWAY = "away"


class Registry:
    """Implements `littoral.streams.peer_server.Family`."""

    def __init__(
        self,
        store: Store,
        parent: str,
        namespaces: Callable[[str], Namespace | None],
        clock: Clock,
        random: Random,
        limits: Limits,
        changed: Callable[[str], None],
        gone: Callable[[str], None] = lambda child: None,
        topics: Callable[[str], GlobalTopics | None] = lambda name: None,
    ) -> None:
        """parent: the parent's name; empty at the root. namespaces: the desired namespace of a name, or None.
        changed: told of a child when there are other nodes below it. gone: told of a child whose session is to end: it was
        expelled, or is to be told that a node below it is elsewhere. topics: the desired GlobalTopics of a name, or None."""
        self._store = store
        self._parent = parent
        self._clock = clock
        self.tokens = JoinTokens(store, clock, random, limits)
        self._limits = limits
        self._changed = changed
        self._gone = gone
        self._children = load_table(store, CHILDREN_SCOPE, ChildRecord)
        self._away = set(store.state(AWAY))
        self._unproved: dict[str, None] = {}
        """Of whom those above take nothing until they show their keys: as the parent said in this session."""
        self._via = {node: via.decode() for node, via in store.state(SUBTREE).items()}
        self._keys = store.state("keys")
        self._former = load_table(store, "former", list[str])
        self._members = load_table(store, MEMBERS, list[Member])
        self._following = Following(store.node, parent, namespaces, topics, self._members)
        self._greetings: dict[str, object] = {}
        """Of each child, the latest: an older one that waited says what is no longer so."""
        self._rate = RateLimiter(clock, limits[SUBTREE_CHANGES], CHANGES_EVERY_S)
        self._signed = SignedNodes(store, limits)
        self.children_changed: Callable[[], None] = lambda: None
        """Told when one came, was expelled, or has another key."""

    # What others ask

    def child(self, name: str) -> ChildRecord | None:
        """What is kept of a direct child, also of one that was expelled or is elsewhere; or None."""
        return self._children.get(name)

    def children(self) -> list[ChildRecord]:
        """The direct children, by name."""
        return [self._children[name] for name in sorted(self._children) if self._is_listed(name)]

    def admitted(self) -> list[ChildRecord]:
        """The direct children that may come: not those that were expelled."""
        return [record for record in self._children.values() if not record.revoked]

    def _is_listed(self, child: str) -> bool:
        return not self._children[child].revoked and child not in self._away

    @property
    def expelled_count(self) -> int:
        """How many children were expelled, and not let in again."""
        return sum(1 for record in self._children.values() if record.revoked)

    def via(self, node: str) -> str | None:
        """The direct child that a node below is reached through, or is; None for a node that is not below, or no longer."""
        via = self._via.get(node)
        if via is None or node in self._away or via not in self._children or not self._is_listed(via):
            return None
        return via

    @property
    def child_count(self) -> int:
        """See Family.child_count."""
        return len(self._children)

    def members(self, own: Member) -> list[Member]:
        """This node (`own`) and everybody known below it."""
        return [own, *self._below()]

    def member(self, node: str) -> Member | None:
        """A node below, as it describes itself."""
        return next((member for member in self._below() if member.node == node), None)

    def below(self) -> set[str]:
        """The names of those known below this node."""
        return {member.node for member in self._below()}

    def _below(self) -> Iterable[Member]:
        return (
            member
            for child, members in self._members.items()
            if child in self._children and self._is_listed(child)
            for member in members
            if member.node not in self._away
        )

    def may_write(self, child: str, origin: str) -> bool:
        """See Family.may_write. Also what a node said before it was moved away from below the child, and what may not have
        come yet: its batches prove whose they are."""
        return self._is_below(origin, child) or child in self._former.get(origin, ())

    def _is_below(self, node: str, child: str) -> bool:
        return node == child or self._via.get(node) == child

    def is_shared(self, info: StreamInfo) -> bool:
        """See Family.is_shared."""
        return self._following.is_shared(info)

    def addressee(self, name: StreamName) -> str | None:
        """See Family.addressee."""
        return self._following.addressee(name)

    def follows(self, child: str, info: StreamInfo) -> bool:
        """See Family.follows."""
        return self._following.follows(child, info)

    def may_ask(self, child: str, namespace: str) -> bool:
        """See Following.may_ask."""
        return self._following.may_ask(child, namespace)

    def check_below(self, node: str, child: str, public_key: bytes) -> None:
        """Before a certificate for that key is asked for on behalf of a node below `child`. Raises Forbidden for a name
        that is not, or could not become, one of a node below that child: this node's, its parent's, its other
        children's, and what lies below those. But a node that shows the key it is known by is that node, moved."""
        if node in (self._store.node, self._parent, child) or not (
            self._via.get(node) in (None, child) or self.is_known(node, public_key)
        ):
            raise Forbidden(
                "sign certificate for",
                node[:63],
                f"{child} may not: {self._store.node} knows another node of that name, which is not below {child}",
                "Names are unique in the tree; choose another, or move the node with its data directory, and its key",
            )

    def check_room(self, node: str) -> None:
        """Before a node becomes a child. Raises LimitReached for one more than there may be."""
        if node not in self._children and len(self.children()) >= self._limits[CHILDREN]:
            self._limits.hit(CHILDREN)
            raise LimitReached(
                "enrol",
                node,
                f"{self._store.node} has {self._limits[CHILDREN]} children, its limit {CHILDREN.name}",
                f"Raise the limit in spec.limits of {self._store.node}, or enrol the node below another",
            )

    def passed_on(self, request: SignRequest, child: str) -> SignRequest:
        """A signing request of a child's, as those above are to have it: whose child the node is may a child say of itself
        and of those that are known to lie below it. A sibling's it would let in who is not."""
        if self._is_below(request.at, child) and request.at not in self._away:
            return request
        return msgspec.structs.replace(request, at="")

    def is_known(self, node: str, public_key: bytes) -> bool:
        """Whether a node below is known, by this very key."""
        return self._keys.get(node) == public_key

    def is_elsewhere(self, child: str, node: str) -> bool:
        """See Family.is_elsewhere."""
        return node != child and (self._via.get(node) not in (None, child) or node in self._away)

    def is_unproved(self, child: str, node: str) -> bool:
        """See Family.is_unproved. A child that is moved takes those below it along; but on its word alone they are not
        below it here, for it could name any node."""
        return not self._is_below(node, child) or node in self._away or node in self._unproved

    def is_away(self, node: str) -> bool:
        """Whether a node that was below is elsewhere in the tree now, as far as is known here."""
        via = self._via.get(node)
        return via is not None and (node in self._away or via in self._away or via not in self._children)

    # What changes it. Each change is made to its end, also when its request is given up: the store has it by then.

    async def greet(self, child: str, members: Sequence[Member]) -> None:
        """See Family.greet: members that are not in the child's subtree are left out.

        A child that changes its mind all the time waits, so that it does not keep this node from its parent.
        """
        self._greetings[child] = greeting = object()
        kept = list({member.node: member for member in members if self._is_below(member.node, child)}.values())
        if child in self._away:
            await run_to_end(self._note_back(child), f"note that {child} is back")
        if self._members.get(child) == kept:
            return
        await self._rate.turn()
        if self._greetings[child] is greeting:
            await run_to_end(self._note_members(child, kept), f"note members of {child}")

    async def _note_back(self, child: str) -> None:
        await self._put(AWAY, child, None)
        self._away.discard(child)
        # Those above think as this node did.
        self._unproved[child] = None
        self._changed(child)

    async def _note_members(self, child: str, members: list[Member]) -> None:
        await self._put(MEMBERS, child, msgspec.msgpack.encode(members))
        self._members[child] = members
        self._changed(child)

    async def use_token(self, request: EnrolRequest) -> None:
        """Authorise an enrolment and note that its token is used. Raises as `authorise_enrolment`."""
        self.tokens.check_known(request)
        self.check_room(request.node)
        await self.tokens.use(request, self._children.get(request.node))

    async def add_child(self, record: ChildRecord, revoked_ms: int | None = None) -> None:
        """A node is now a direct child, with this key and certificate. revoked_ms: of what was kept of it when it was let
        in; raises Forbidden where it was expelled since."""
        await run_to_end(self._add_child(record, revoked_ms), f"add child {record.node}")

    async def _add_child(self, record: ChildRecord, revoked_ms: int | None) -> None:
        node = record.node
        held = self._children.get(node)
        if held is not None and held.revoked_ms not in (None, revoked_ms):
            raise expelled("enrol", node)
        # Before anything is awaited: an expulsion that comes meanwhile is written after it, and is what is so.
        self._children[node] = record
        try:
            await self._put(CHILDREN_SCOPE, node, msgspec.msgpack.encode(record))
        except Exception:
            self._forget_unwritten(record, held)
            raise
        self.children_changed()
        now = self._children.get(node)
        if now is not None and now.revoked:
            raise expelled("enrol", node)
        await self._note_below(node, node, record.public_key)

    async def note_below(self, node: str, via: str, public_key: bytes) -> None:
        """A node with that key lies below the child `via` (or is it). Raises Forbidden as `check_below`: another child
        may have been quicker with the same name."""
        await run_to_end(self._note_below(node, via, public_key), f"note {node} below {via}")

    async def _note_below(self, node: str, via: str, public_key: bytes) -> None:
        if node != via:
            self.check_below(node, via, public_key)
        before = self._via.get(node)
        if before == via and self.is_known(node, public_key) and node not in self._away:
            await self._note_proved(node, via)
            return
        left = node != via and node in self._children
        await self._place(node, via, public_key, left=left)
        if node in self._away:
            self._away.discard(node)
            self._unproved[node] = None  # Those above are told of it, too.
        if left:
            del self._children[node]
            self.children_changed()
        if before not in (None, via):
            self._changed(via)
            self._gone(str(before))
        await self._note_proved(node, via)

    async def _place(self, node: str, via: str, public_key: bytes, *, left: bool) -> None:
        """Keep that a node is below a child. left: it was a child itself; who is known to lie below it comes along."""
        before, key_before = self._via.get(node), self._keys.get(node)
        former = [each for each in self._former.get(node, ()) if each != via]
        if before not in (None, via, node):
            former.append(str(before))
        along = [each for each, through in self._via.items() if left and through == node and each != node]
        formers = {each: [*(name for name in self._former.get(each, ()) if name != via), node] for each in along}
        formers[node] = former
        self._via[node], self._keys[node] = via, public_key
        self._via.update(dict.fromkeys(along, via))

        def put(tx: Transaction) -> None:
            for each, through in formers.items():
                tx.put_state(SUBTREE, each, via.encode())
                tx.put_state("former", each, msgspec.msgpack.encode(through) if through else None)
            tx.put_state("keys", node, public_key)
            tx.put_state(AWAY, node, None)
            if left:
                tx.put_state(CHILDREN_SCOPE, node, None)

        try:
            await self._store.submit(put)
        except Exception:
            self._via.update(dict.fromkeys(along, node))
            restore_entry(self._via, node, before)
            restore_entry(self._keys, node, key_before)
            raise
        self._former |= formers

    async def _note_proved(self, node: str, via: str) -> None:
        """A node has shown its key, to those above first: where they took nothing of it, they are told of it anew, and say
        how far they have its streams. Of many at once in few sessions."""
        if node in self._unproved:
            del self._unproved[node]
            await self._rate.turn()
            self._changed(via)

    async def note_answer(self, elsewhere: Iterable[str], unproved: Iterable[str], connected: Collection[str]) -> None:
        """What the parent said at the last hello of those below: these are elsewhere in the tree now, and of these those above
        take nothing until they show their keys.

        Those that are `connected` here are not elsewhere: they show their keys, too. Who is below a child is told by that
        one, in its next session."""
        await run_to_end(self._note_answer(list(elsewhere), unproved, connected), "note the parent's answer")

    async def _note_answer(self, elsewhere: list[str], unproved: Iterable[str], connected: Collection[str]) -> None:
        now_unproved = dict.fromkeys(node for node in (*elsewhere, *unproved) if node in self._via)
        moved = [node for node in elsewhere if node in self._via and node not in self._away and node not in connected]

        def put(tx: Transaction) -> None:
            for node in moved:
                tx.put_state(AWAY, node, b"")

        if moved:
            await self._store.submit(put)
            self._away.update(moved)
        # Not before it is written: where that fails, the next answer finds who is to be asked.
        before, self._unproved = self._unproved, now_unproved
        for via in dict.fromkeys(self._via[node] for node in moved):
            self._changed(via)
        asked = [node for node in now_unproved if node not in before]
        for via in dict.fromkeys(self._via[node] for node in (*moved, *asked)):
            self._gone(via)

    async def expel(self, node: str) -> None:
        """Let a direct child in no more, nor anybody through it, until it shows a token that is made later. What it brought
        stays. Raises NotFound."""
        await run_to_end(self._expel(node), f"expel {node}")

    async def _expel(self, node: str) -> None:
        record = self._children.get(node)
        if record is None:
            raise not_below("expel", node, self._store.node)
        if record.revoked:
            return
        revoked = msgspec.structs.replace(record, revoked_ms=self._clock.wall_ms())
        inbox = inbox_of(self._store.node, node)

        def put(tx: Transaction) -> None:
            tx.put_state(CHILDREN_SCOPE, node, msgspec.msgpack.encode(revoked))
            tx.put_state(MEMBERS, node, None)
            if tx.stream(inbox) is not None:
                tx.delete_stream(inbox)

        # Before anything is awaited: a renewal that is under way is not to end well.
        self._children[node] = revoked
        try:
            await self._store.submit(put)
        except Exception:
            self._forget_unwritten(revoked, record)
            raise
        self.children_changed()
        self._members.pop(node, None)
        self._changed(node)
        self._gone(node)

    def _forget_unwritten(self, record: ChildRecord, before: ChildRecord | None) -> None:
        """`record` was refused by the disk; but not where somebody has put another in its place, who sees to that one."""
        if self._children.get(record.node) is record:
            restore_entry(self._children, record.node, before)

    async def note_signed(self, request: SignRequest, via: str, public_key: bytes) -> None:
        """At the root: decide whether to sign for that key, and note it. Raises as `SignedNodes.note`."""
        await run_to_end(self._note_signed(request, via, public_key), f"note {request.node} signed")

    async def _note_signed(self, request: SignRequest, via: str, public_key: bytes) -> None:
        shown = self.is_known(request.node, public_key)
        moves = shown or self._is_below(request.node, via)
        await self._signed.note(request, via, moves=moves, shown=shown)

    async def _put(self, scope: str, key: str, value: bytes | None) -> None:
        await self._store.submit(lambda tx: tx.put_state(scope, key, value))


def next_hop(tx: Transaction, node: str) -> str | None:
    """As `Registry.via`, as this transaction sees it."""
    via = tx.get_state(SUBTREE, node)
    child = via.decode() if via is not None else None
    held = tx.get_state(CHILDREN_SCOPE, child) if child is not None else None
    if child is None or held is None or any(tx.get_state(AWAY, each) is not None for each in (node, child)):
        return None
    return None if msgspec.msgpack.decode(held, type=ChildRecord).revoked else child


def not_below(operation: str, node: str, here: str) -> NotFound:
    """There is no such node below this one."""
    return NotFound(
        operation,
        f"node {node[:63]!r}",
        f"{here} knows no node of that name below it",
        "`littoral node list` names those it knows; ask the root, which knows all",
    )
