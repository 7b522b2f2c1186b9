"""Clients that pour records into streams that nodes bound: by budgets that drop the oldest, refuse or spill, and by an age
beyond which nothing is sent up. And what must be true of those records: all that was accepted is there, but for what a budget
had to take, or was too old to be sent; none of that is more than had to go, and all of it is counted.

What a store takes is seen as it commits: where a copy begins, and where it ends. A record that lies before the beginning
was taken there, one that a copy has gone past without it never came.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from littoral.core.errors import StorageFull
from littoral.core.http import Request, Response
from littoral.core.names import StreamName
from littoral.core.resources.model import BudgetPolicy, Storage
from littoral.node.hub import Hub
from littoral.store.stream import StreamInfo
from littoral.testing.random import SeededRandom
from littoral.testing.simulation.bounding import RAW, RAW_LANE
from littoral.testing.simulation.forking import answered
from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.recoveries import TOO_OLD
from littoral.testing.simulation.world import LOSSES, Violation, World
from littoral.testing.tree import SimNode

APPEND_RECORDS = 5
PADDING_BYTES = 100
"""Of chance in a record, which does not compress."""
RECORD_MOST_BYTES = 2 * PADDING_BYTES + 60
"""Of a record in a batch."""
PAUSES_S = (0.0, 0.5, 5.0)
REFUSED = b"its policy is reject"
"""What an answer says where a budget refuses, and not the disk."""
SLACK_MS = 10_000
"""Between the moments when something happened and when it was seen."""
READ_ALL_BYTES = 1 << 30
POURS = "pours"
"""Where they are among the world's clients."""


async def pour(world: World, event: Event) -> None:
    """Append `count` records to a node's stream, several at a time. What is refused is given up."""
    node, random = world.node(event.target), world.chance(event)
    if any(each.kind in LOSSES and each.target == node.name for each in world.plan.events):
        return  # which of them are lost with the store is not reckoned here
    pours = Pours.of(world)
    async with pours.turns[node.name]:
        world.note(node.name, "work", f"a client pours {event.count} records into {RAW}", event)
        pause_s = random.choice(PAUSES_S)
        for first in range(0, event.count, APPEND_RECORDS):
            await pours.append(node, min(APPEND_RECORDS, event.count - first), random)
            await asyncio.sleep(pause_s)


async def lift_budgets(world: World) -> None:
    """Let all nodes that refuse records take them: an operator changes their documents, and starts them again."""
    refusing = [planned.name for planned in world.plan.nodes if planned.policy == "reject"]
    for node in map(world.node, refusing if POURS in world.clients else ()):
        async with world.in_hand(node):
            world.note(node.name, "work", "an operator lifts its budget")
            Pours.of(world).policies[node.name] = None
            spec = msgspec.structs.replace(node.config.spec, storage=Storage())
            node.config = msgspec.structs.replace(node.config, spec=spec)


class _Head(NamedTuple):
    """Of a copy, as its store last said."""

    first: int = 0
    next: int = 0


class Pours:
    """What was poured, and what has become of it so far."""

    def __init__(self, world: World) -> None:
        self.turns = {planned.name: asyncio.Lock() for planned in world.plan.nodes}
        """One client for each node: what it is promised is in the stream as it was promised, from offset 0 on."""
        self.policies: dict[str, BudgetPolicy | None] = {planned.name: planned.policy for planned in world.plan.nodes}
        self.problems: list[str] = []
        """Seen on the way."""
        self.takes: Counter[str] = Counter()
        """By node: how often something was seen to be taken there."""
        self._world = world
        self._ttl_ms = {planned.name: planned.ttl_s * 1000 for planned in world.plan.nodes}
        self._most = {planned.name: planned.budget_bytes for planned in world.plan.nodes}
        self._appends: dict[str, int] = defaultdict(int)
        self._asked_ms: dict[str, list[float]] = defaultdict(list)
        """By node: when each record was first sent to it."""
        self._largest: dict[StreamName, int] = defaultdict(int)
        """Of all batches of a stream, no less than this."""
        self._heads: dict[tuple[str, StreamName], _Head] = {}
        self._passed_ms: dict[tuple[str, StreamName], list[float]] = defaultdict(list)
        """By copy: when it came to each offset."""
        self._taken: dict[tuple[str, StreamName], set[int]] = defaultdict(set)
        """By copy: what was in it and is not any more."""
        self._unsent: dict[tuple[str, str, StreamName], set[int]] = defaultdict(set)
        """By copy, and node: what was taken from the copy before the node had come to it."""

    @classmethod
    def of(cls, world: World) -> "Pours":
        """Those of a run, which are watched from the first on."""
        pours = world.clients.get(POURS)
        if pours is None:
            pours = world.clients[POURS] = cls(world)
            world.on_start.append(pours.watch)
            for node in world.tree.nodes.values():
                pours.watch(node)
        assert isinstance(pours, cls)
        return pours

    # The client

    async def append(self, node: SimNode, count: int, random: SeededRandom) -> None:
        """Append once; what the node refuses is not there."""
        accepted = self._world.ledger.poured.setdefault(node.name, [])
        records = [_record(len(accepted) + place, random) for place in range(count)]
        headers = {
            "content-type": "application/json",
            "producer-id": "pourer",
            "producer-epoch": "0",
            "producer-seq": str(self._appends[node.name]),
        }
        name = StreamName(node.name, RAW)
        request = Request("POST", f"/v1/streams/{name}", {}, headers, b"[" + b",".join(records) + b"]")
        asked_ms = self._world.tree_ms
        response = await self._world.ask(node, partial(_send, name, request))
        if response is None:
            self._world.recoveries["append refused by a budget"] += 1
            return
        if response.status not in (200, 204):
            raise Violation("poured records", f"{node.name} refuses them: {response.status} {response.body!r}")
        self._appends[node.name] += 1
        self._asked_ms[node.name] += [asked_ms] * count
        accepted += records

    # What is seen

    def watch(self, node: SimNode) -> None:
        """Look at what a node that runs holds from now on."""
        if (hub := node.hub) is not None:
            hub.store.watch(partial(self._note, node.name))
            for info in hub.store.streams():
                self._note(node.name, info)

    def _note(self, at: str, info: StreamInfo) -> None:
        if info.name.path != RAW or self._world.restores[at]:
            return  # a copy that was restored begins anew
        place = (at, info.name)
        known = self._heads.get(place, _Head())
        passed = self._passed_ms[place]
        passed += [self._world.tree_ms] * (info.next - len(passed))
        # What was added is a batch, or some, of which each is smaller.
        added_bytes = (info.next - known.next) * RECORD_MOST_BYTES
        self._largest[info.name] = max(self._largest[info.name], added_bytes)
        # A copy that holds nothing begins where what comes first begins.
        end = info.first if at == info.name.origin or known.first < known.next else min(info.first, known.next)
        if known.first < end:
            self._note_taken(at, info, range(known.first, end))
        if self.policies[at] == "reject" and info.bytes > self._most[at]:
            self.problems.append(f"{at} refuses what goes beyond {self._most[at]} bytes, and holds {info.bytes}")
        self._heads[place] = _Head(info.first, info.next)

    def _note_taken(self, at: str, info: StreamInfo, offsets: range) -> None:
        self.takes[at] += 1
        self._world.recoveries["taken by a budget"] += 1
        self._taken[at, info.name].update(offsets)
        for other in self._world.tree.nodes:
            had = self._heads.get((other, info.name), _Head()).next
            self._unsent[at, other, info.name].update(offset for offset in offsets if offset >= had)
        if self.policies[at] != "drop-oldest":
            self.problems.append(f"{at} takes {offsets} of {info.name}; its policy is {self.policies[at]}")
        elif info.bytes + self._largest[info.name] <= self._most[at]:
            self.problems.append(
                f"{at} takes {offsets} of {info.name}, though {info.bytes} of {self._most[at]} bytes are used"
            )

    # What may be missing

    def taken(self, at: str, name: StreamName) -> set[int]:
        """Offsets that a node has held, and not any more."""
        return self._taken[at, name]

    def unsent(self, below: Sequence[str], above: str, name: StreamName) -> set[int]:
        """Offsets that were taken below before a node above had come to them."""
        return set().union(*(self._unsent[each, above, name] for each in below))

    def aged(self, below: Sequence[str], above: str, name: StreamName, offsets: set[int]) -> set[int]:
        """Those of some offsets that were too old to be sent when a node above went past them; now, if it has not yet."""
        ttls_ms = [self._ttl_ms[each] for each in below if self._ttl_ms[each]]
        if not ttls_ms:
            return set()
        least_ms = min(ttls_ms) - SLACK_MS - self._clocks_off_ms()
        asked_ms, passed_ms, now_ms = self._asked_ms[name.origin], self._passed_ms[above, name], self._world.tree_ms
        return {
            offset
            for offset in offsets
            if (passed_ms[offset] if offset < len(passed_ms) else now_ms) - asked_ms[offset] >= least_ms
        }

    def _clocks_off_ms(self) -> float:
        """How much the clocks of two nodes can have differed at most."""
        return sum(abs(event.amount) for event in self._world.plan.events if event.kind == "clock-step")


async def _send(name: StreamName, request: Request, hub: Hub) -> Response | None:
    """The answer; None where a budget refuses it."""
    if hub.store.stream(name) is None:
        await hub.store.submit(lambda tx: tx.open_stream(name, lane=RAW_LANE))
    response = await hub.streams.handle(request)
    if isinstance(response, Response) and response.status == StorageFull.status and REFUSED in response.body:
        return None
    return answered(response)


def _record(number: int, random: SeededRandom) -> bytes:
    return msgspec.json.encode({"n": number, "x": random.token_bytes(PADDING_BYTES).hex()})


def check_pours(world: World) -> None:
    """What was accepted is at its node and at every node above, in its order; what is missing was taken by a budget, at that
    node or below before it was sent, or was too old; and nothing else is there."""
    if POURS not in world.clients:
        return
    pours = Pours.of(world)
    if pours.problems:
        raise Violation("budgets", pours.problems[0])
    for node, takes in sorted(pours.takes.items()):
        if not world.node(node).deaths and world.node(node).running.retention.dropped_batches < takes:
            raise Violation("budgets", f"{node} has dropped batches {takes} times, and counts fewer")
    stepped_over: Counter[str] = Counter()
    for origin, accepted in sorted(world.ledger.poured.items()):
        if not world.is_restored(origin):
            stepped_over += _check_poured(world, pours, StreamName(origin, RAW), accepted)
    for name, count in sorted(stepped_over.items()):
        if (counted := world.counted(world.node(name))[TOO_OLD]) < count:
            raise Violation("counts", f"{name} did not send {count} records that were too old, and counts {counted}")


def _check_poured(world: World, pours: Pours, name: StreamName, accepted: list[bytes]) -> Counter[str]:
    """One stream; returns how many of its records each node has stepped over."""
    stepped_over: Counter[str] = Counter()
    path = [world.node(name.origin), *world.path_up(name.origin)]
    # Of a node that was moved, copies further up may have come by another way.
    is_moved = any(each.name in world.moved for each in path)
    missing: set[int] = set()
    """What may never have come to a node."""
    for place, node in enumerate(path):
        lacks = set(range(len(accepted))) - _held(node, name, accepted)
        taken = pours.taken(node.name, name)
        if place:
            below = [*world.tree.nodes] if is_moved else [path[place - 1].name]
            unsent = pours.unsent(below, node.name, name) | missing
            aged = pours.aged(below, node.name, name, lacks - unsent - taken)
            missing = lacks & (unsent | aged | pours.aged(below, node.name, name, lacks & taken))
            if not is_moved:
                stepped_over[below[0]] += len(aged)
                _check_lost(node, name, missing - taken)
        if lost := lacks - missing - taken:
            raise Violation("poured records", f"{name} at {node.name}: {len(lost)} are gone, first {min(lost)}")
    return stepped_over


def _check_lost(node: SimNode, name: StreamName, missing: set[int]) -> None:
    """A node that never stopped has counted all that it has gone past without having it."""
    info, counted = node.running.store.stream(name), node.running.peers.lost_records
    passed = sum(offset < info.next for offset in missing) if info is not None else 0
    if not node.deaths and counted < passed:
        raise Violation("counts", f"{passed} records of {name} never came to {node.name}, which counts {counted}")


def _held(node: SimNode, name: StreamName, accepted: list[bytes]) -> set[int]:
    """The offsets that a node has. Raises Violation where one of them is not what it should be."""
    offsets: set[int] = set()
    info = node.running.store.stream(name)
    for batch in node.running.store.read(name, info.first, READ_ALL_BYTES) if info is not None else ():
        for offset, record in enumerate(batch.records(), batch.first):
            if offset >= len(accepted) or accepted[offset] != record:
                raise Violation(
                    "poured records", f"{name}@{offset} at {node.name} is {record!r}, which was not accepted"
                )
            offsets.add(offset)
    return offsets
