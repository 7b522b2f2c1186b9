"""A tree, whoever keeps its nodes running, and its clients' patience: what work and faults act on."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import msgspec

from littoral.core.errors import LittoralError, Unauthenticated
from littoral.core.resources.model import Bandwidth
from littoral.core.tasks import Tasks
from littoral.node.hub import Hub
from littoral.security.join import hash_secret, parse_token
from littoral.security.store_key import KEY_BYTES, StoreKey
from littoral.testing.disk import PowerCut
from littoral.testing.net import Link
from littoral.testing.random import SeededRandom
from littoral.testing.simulation.bounding import storage_of, ttl_of
from littoral.testing.simulation.history import History, Step, StepKind
from littoral.testing.simulation.ledger import Ledger
from littoral.testing.simulation.messages import MessageRecorder
from littoral.testing.simulation.plan import Event, Plan, PlannedNode
from littoral.testing.simulation.recoveries import recoveries_of
from littoral.testing.tree import SimNode, SimTree

T = TypeVar("T")

RESTART_S = 1.0
"""How long the operating system waits before it starts a dead node again."""
ANSWER_S = 4.0
"""How long a client waits for an answer before it asks again."""
AGAIN_S = 1.0
POLL_S = 0.5
LOOK_EVERY_S = 10.0
"""How often a run looks whether something has failed."""
TOKEN_MS = 86_400_000
LOSSES = ("restore", "rot")
"""Kinds of work by which a store is lost, sooner or later."""


class Violation(Exception):
    """A promise was broken."""

    def __init__(self, check: str, text: str) -> None:
        """check: which promise, in a word or two; text: what was seen."""
        super().__init__(f"{check}: {text}")
        self.check = check
        self.text = text


class SetBack(Exception):
    """The store of the node that is asked was restored from a backup: the client that asks is gone with what was lost."""


class World:
    """One run's tree and all that is around it."""

    def __init__(self, plan: Plan, *, record: bool = False) -> None:
        """record: write also every message into the history."""
        self.plan = plan
        self.tree = SimTree(plan.seed)
        self.history = History([node.name for node in plan.nodes])
        self.ledger = Ledger()
        self.hits: Counter[str] = Counter()
        """How often each fault took place."""
        self.recoveries: Counter[str] = Counter()
        """How often each way back was taken."""
        self._counted: dict[str, Counter[str]] = {planned.name: Counter() for planned in plan.nodes}
        """By node: what its hubs that ended have counted."""
        self.restores: Counter[str] = Counter()
        """How often each node's store was restored from a backup."""
        self.moved: set[str] = set()
        """The nodes that are no longer where they were at first."""
        self.lost = ""
        """The node whose store is lost, rotten or restored; empty while there is none."""
        self.parents: dict[str, str] = {}
        self.clients: dict[Hashable, Any] = {}
        """Of the kinds of work, whatever each keeps."""
        self.operator = asyncio.Lock()
        """There is one, and does one thing after the other."""
        self.on_start: list[Callable[[SimNode], None]] = []
        """Told of each node that runs again."""
        self.passed_ms = 0.0
        """By how much all clocks were set forward together."""
        self.waiting = 0
        """Pieces of work whose clients are not done."""
        self.tree.on_death = self._lost
        self._failures: list[BaseException] = []
        self._tasks = Tasks(self._failures.append)
        self._held: dict[str, float] = {}
        """Nodes that stay down, and until when."""
        self._turns = {planned.name: asyncio.Lock() for planned in plan.nodes}
        """Of each node, held by whoever starts or stops it: what keeps it running, or an operator."""
        self._tokens: dict[str, str] = {}
        """What lets each node in at its parent."""
        for planned in plan.nodes:
            self._add(planned)
        self._started_s = asyncio.get_running_loop().time()
        if record:
            nodes = {url: node.name for node in self.tree.nodes.values() for url in (node.peer_url, node.join_url)}
            MessageRecorder(self.tree.network, self.history, nodes, self._started_s)

    def _add(self, planned: PlannedNode) -> None:
        parent = self.tree.nodes[planned.parent] if planned.parent else None
        node = self.tree.add(
            planned.name,
            planned.tier,
            parent,
            status_interval=self.plan.status_interval,
            bandwidth=Bandwidth(rate=f"{planned.bandwidth}B") if planned.bandwidth else None,
            ttl=ttl_of(planned),
            storage=storage_of(planned),
            limits=self.plan.limits,
        )
        self.parents[node.name] = planned.parent
        if (parent_part := node.config.spec.parent) is not None:
            parent_part = msgspec.structs.replace(parent_part, requests="all")
            spec = msgspec.structs.replace(node.config.spec, parent=parent_part)
            node.config = msgspec.structs.replace(node.config, spec=spec)
        if planned.encrypted:
            node.store_key = StoreKey(self.tree.random.fork(f"store key/{node.name}").token_bytes(KEY_BYTES))
        self._lay_links(node)

    def _lay_links(self, node: SimNode) -> None:
        for link in self.links(node):
            link.delay_s = self.plan.link_delay_s

    # Telling

    @property
    def now_s(self) -> float:
        """Virtual seconds since the run began."""
        return asyncio.get_running_loop().time() - self._started_s

    @property
    def tree_ms(self) -> float:
        """What a clock would have come to since then that nobody sets alone."""
        return self.now_s * 1000 + self.passed_ms

    def note(
        self, lane: str, kind: StepKind, text: str, event: Event | None = None, until_s: float | None = None
    ) -> None:
        """Write a step into the history."""
        number = None if event is None else event.number
        self.history.records.append(Step(self.now_s, lane, kind, text, number, until_s))

    def raise_failures(self) -> None:
        """Raise the first violation, or unexpected exception of a node or of a client."""
        if self._failures:
            raise self._failures[0]
        try:
            self.tree.raise_failures()
        except Exception as error:
            raise Violation("no unexpected error", f"{type(error).__name__}: {error}") from error

    # Parts

    @property
    def root(self) -> SimNode:
        """The system of record."""
        return self.tree.nodes[self.plan.nodes[0].name]

    def node(self, name: str) -> SimNode:
        """By name."""
        return self.tree.nodes[name]

    @property
    def sites(self) -> list[SimNode]:
        """Where devices are."""
        return [self.node(node.name) for node in self.plan.nodes if node.tier == "site"]

    def links(self, node: SimNode) -> list[Link]:
        """The two ways to a node's parent, for neighbours and for joining; none for the root."""
        name = self.parents[node.name]
        if not name:
            return []
        parent = self.node(name)
        return [self.tree.network.link(node.name, url) for url in (parent.peer_url, parent.join_url)]

    def path_up(self, name: str) -> list[SimNode]:
        """The nodes above, from the parent to the root."""
        above = []
        while name := self.parents[name]:
            above.append(self.node(name))
        return above

    def is_below(self, name: str, above: str) -> bool:
        """Whether a node is `above` itself, or below it."""
        return name == above or any(node.name == above for node in self.path_up(name))

    def is_restored(self, name: str) -> bool:
        """Whether the store of a node, or of one above it, was restored from a backup."""
        return any(self.restores[node.name] for node in (self.node(name), *self.path_up(name)))

    def chance(self, event: Event) -> SeededRandom:
        """Chance that belongs to one event, whatever else is done."""
        return self.tree.random.fork(f"event/{event.number}")

    # Life

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Do something beside the rest. What it raises ends the run."""
        return self._tasks.start(work, name)

    def work(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """As `start`, for what must be done before the run is over."""
        self.waiting += 1

        async def counted() -> None:
            with suppress(SetBack):
                await work
            self.waiting -= 1

        self.start(counted(), name)

    def switch_on(self) -> None:
        """Keep all nodes running from now on, each from its time."""
        for planned in self.plan.nodes:
            self.start(self._keep_running(self.node(planned.name), planned.joins_s), f"supervise {planned.name}")

    def hold_down(self, node: SimNode, for_s: float) -> None:
        """Let it lie, if it is dead, for a while."""
        self._held[node.name] = max(self._held.get(node.name, 0.0), self.now_s + for_s)

    def release(self) -> None:
        """Let nothing lie any more."""
        self._held.clear()

    async def _keep_running(self, node: SimNode, joins_s: float) -> None:
        await asyncio.sleep(joins_s)
        while True:
            await node.down.wait()
            await self.wait_for(partial(self._may_run, node))
            async with self._turns[node.name]:
                await self._start(node)
            await asyncio.sleep(RESTART_S)

    async def _start(self, node: SimNode) -> None:
        deaths = node.deaths
        try:
            await node.start(await self._token(node))
        except (LittoralError, PowerCut) as error:
            # Out of reach, the disk refuses, or the power went again meanwhile.
            self.recoveries[f"start refused: {type(error).__name__}"] += 1
            if node.deaths == deaths:
                node.hub = None
            if isinstance(error, Unauthenticated):
                self.invite(node)  # its token has expired
        else:
            self._started(node)

    def _may_run(self, node: SimNode) -> bool:
        return self._held.get(node.name, 0.0) <= self.now_s

    def _started(self, node: SimNode) -> None:
        if node.hub is None:
            return
        self.recoveries["node started again" if node.deaths else "node joined"] += 1
        self.note(node.name, "life", f"runs (start {node.deaths + 1})")
        for device in node.devices:
            device.connect()
        for tell in self.on_start:
            tell(node)

    async def _token(self, node: SimNode) -> str | None:
        parent = self.parents[node.name]
        if parent and node.name not in self._tokens:
            self._tokens[node.name] = await self.ask(
                self.node(parent), lambda hub: hub.create_token(node.name, TOKEN_MS)
            )
        return self._tokens.get(node.name)

    def invite(self, node: SimNode) -> None:
        """Let it have a new token of its parent's at its next start."""
        self._tokens.pop(node.name, None)

    async def let_in(self, node: SimNode) -> None:
        """Have it show the token that it was invited with: it is started again for that, with another, as often as it
        takes."""
        while not await self._is_let_in(node):
            self.invite(node)
            async with self.in_hand(node):
                pass

    async def _is_let_in(self, node: SimNode) -> bool:
        """Once it runs again: whether it has shown its latest token."""
        await asyncio.sleep(AGAIN_S)
        await self.wait_for(lambda: node.hub is not None)
        token = self._tokens.get(node.name)
        return token is not None and node.running.identity.facts.token == hash_secret(parse_token(token).secret).hex()

    def move(self, node: SimNode, parent: SimNode) -> None:
        """Let it be a child of `parent`, from its next start on."""
        node.move_to(parent)
        self.parents[node.name] = parent.name
        self.moved.add(node.name)
        self.invite(node)
        self._lay_links(node)

    @asynccontextmanager
    async def in_hand(self, node: SimNode, *, dies: bool = False) -> AsyncIterator[None]:
        """An operator has it: it was switched off (dies: or lost its power), is not started before the block ends, and its
        disk can be used."""
        async with self._turns[node.name]:
            if dies:
                node.cut_power()
            elif (hub := node.hub) is not None:
                await node.switch_off()
                self._count(hub)
                self.note(node.name, "life", "stopped")
            node.disk.power_on()
            yield

    def _lost(self, node: SimNode, hub: Hub) -> None:
        self._count(hub)
        self.note(node.name, "life", "died")

    def _count(self, hub: Hub) -> None:
        counted = recoveries_of(hub)
        self.recoveries += counted
        self._counted[hub.name] += counted

    def counted(self, node: SimNode) -> Counter[str]:
        """What all hubs of a node that runs have counted."""
        return self._counted[node.name] + recoveries_of(node.running)

    def count_recoveries(self) -> None:
        """Add what the hubs that run have counted; those that died were added then."""
        for node in self.tree.nodes.values():
            self.recoveries += recoveries_of(node.running)
            self.recoveries += Counter({"certificate renewed": node.renewals})

    # Clients

    async def ask(self, node: SimNode, work: Callable[[Hub], Awaitable[T]], *, restores: int | None = None) -> T:
        """Ask a node again until it answers: one that is dead says nothing, and may have done it.

        restores: how often its store had been restored when it told the client what that counts on; None for a client that
        counts on nothing. Raises SetBack once that is lost.
        """
        while True:
            if restores not in (None, self.restores[node.name]):
                raise SetBack
            if (hub := node.hub) is not None:
                try:
                    async with asyncio.timeout(ANSWER_S):
                        answer = await work(hub)
                    if restores not in (None, self.restores[node.name]):
                        raise SetBack  # it was answered just before
                    return answer
                except TimeoutError:
                    self.recoveries["client asked again: no answer"] += 1
                except LittoralError as error:
                    self.recoveries[f"client asked again: {type(error).__name__}"] += 1
            await asyncio.sleep(AGAIN_S)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Let time pass until `condition` holds, however long that takes."""
        while not condition():  # noqa: ASYNC110 -- nothing tells of it
            await asyncio.sleep(POLL_S)

    async def until_s(self, at_s: float) -> None:
        """Let time pass up to a moment of the run. Raises what failed meanwhile."""
        while (wait_s := at_s - self.now_s) > 0:
            self.raise_failures()
            await asyncio.sleep(min(wait_s, LOOK_EVERY_S))
        self.raise_failures()

    async def until(self, condition: Callable[[], str], limit_s: float, check: str) -> None:
        """Let time pass until `condition` answers "". Raises Violation with what it last answered after `limit_s`."""
        deadline_s = self.now_s + limit_s
        while missing := condition():
            self.raise_failures()
            if self.now_s > deadline_s:
                raise Violation(check, f"after {limit_s:.0f} s: {missing}")
            await asyncio.sleep(POLL_S)

    async def stop(self) -> None:
        """End the clients, then the nodes, in an orderly way."""
        await self._tasks.stop()
        for node in self.tree.nodes.values():
            if node.hub is not None:
                self.note(node.name, "life", "stopped")
        await self.tree.stop()
        self.raise_failures()
