"""A tree, whoever keeps its nodes running, and its clients' patience: what work and faults act on."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from functools import partial
from typing import Any, TypeVar

from littoral.core.errors import LittoralError, Unauthenticated
from littoral.core.resources.model import Bandwidth
from littoral.core.tasks import Tasks
from littoral.node.hub import Hub
from littoral.testing.disk import PowerCut
from littoral.testing.net import Link
from littoral.testing.random import SeededRandom
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


class Violation(Exception):
    """A promise was broken."""

    def __init__(self, check: str, text: str) -> None:
        """check: which promise, in a word or two; text: what was seen."""
        super().__init__(f"{check}: {text}")
        self.check = check
        self.text = text


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
        self.parents: dict[str, str] = {}
        self.clients: dict[Hashable, Any] = {}
        """Of the kinds of work, whatever each keeps."""
        self.operator = asyncio.Lock()
        """There is one, and does one thing after the other."""
        self.waiting = 0
        """Pieces of work whose clients are not done."""
        self.tree.on_death = self._lost
        self._failures: list[BaseException] = []
        self._tasks = Tasks(self._failures.append)
        self._held: dict[str, float] = {}
        """Nodes that stay down, and until when."""
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
            limits=self.plan.limits,
        )
        self.parents[node.name] = planned.parent
        for link in self.links(node):
            link.delay_s = self.plan.link_delay_s

    # Telling

    @property
    def now_s(self) -> float:
        """Virtual seconds since the run began."""
        return asyncio.get_running_loop().time() - self._started_s

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
        token: str | None = None
        while True:
            await node.down.wait()
            await self.wait_for(partial(self._may_run, node))
            token = token or await self._token(node)
            deaths = node.deaths
            try:
                await node.start(token)
            except (LittoralError, PowerCut) as error:
                # Out of reach, the disk refuses, or the power went again meanwhile.
                self.recoveries[f"start refused: {type(error).__name__}"] += 1
                if node.deaths == deaths:
                    node.hub = None
                if isinstance(error, Unauthenticated):
                    token = None  # it has expired
                await asyncio.sleep(RESTART_S)
                continue
            self._started(node)
            await asyncio.sleep(RESTART_S)

    def _may_run(self, node: SimNode) -> bool:
        return self._held.get(node.name, 0.0) <= self.now_s

    def _started(self, node: SimNode) -> None:
        if node.hub is None:
            return
        self.recoveries["node started again" if node.deaths else "node joined"] += 1
        self.note(node.name, "life", f"runs (start {node.deaths + 1})")
        for device in node.devices:
            device.connect()

    async def _token(self, node: SimNode) -> str | None:
        parent = self.parents[node.name]
        if not parent:
            return None
        return await self.ask(self.node(parent), lambda hub: hub.create_token(node.name, TOKEN_MS))

    def _lost(self, node: SimNode, hub: Hub) -> None:
        self.recoveries += recoveries_of(hub)
        self.note(node.name, "life", "died")

    def count_recoveries(self) -> None:
        """Add what the hubs that run have counted; those that died were added then."""
        for node in self.tree.nodes.values():
            self.recoveries += recoveries_of(node.running)
            self.recoveries += Counter({"certificate renewed": node.renewals})

    # Clients

    async def ask(self, node: SimNode, work: Callable[[Hub], Awaitable[T]]) -> T:
        """Ask a node again until it answers: one that is dead says nothing, and may have done it."""
        while True:
            if (hub := node.hub) is not None:
                try:
                    async with asyncio.timeout(ANSWER_S):
                        return await work(hub)
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
