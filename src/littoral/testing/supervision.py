"""Nodes that are looked after as by their operating system, and operators who ask until they are answered.

A node that died is started again; one that has no identity yet gets a join token from its parent, and shows the same
token until it is let in. What no later start can mend (files that contradict each other, a token that somebody else
has used) is a failure, and raised where a test waits.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from littoral.core.errors import Conflict, IncompatibleStore, LittoralError, StartupError, StorageCorrupt
from littoral.core.tasks import Tasks
from littoral.node.hub import Hub
from littoral.testing.disk import PowerCut
from littoral.testing.tree import SimNode, SimTree

T = TypeVar("T")

RESTART_S = 0.3
"""How long a dead node lies before it is started again, and an operator waits before asking again. Virtual, as all
times here."""
ANSWER_S = 3.0
"""How long an operator waits for an answer."""
UNTIL_S = 3000.0
"""How long a test waits for what must happen in the end."""
TOKEN_TTL_MS = 3_600_000
FOR_GOOD = (StartupError, StorageCorrupt, IncompatibleStore, Conflict)
"""Errors of a start that the next start would meet as well."""


class Supervisor:
    """Keeps nodes of a tree running."""

    def __init__(self, tree: SimTree) -> None:
        self.tree = tree
        self.failures: list[BaseException] = []
        """What ended a supervised task: `until` and `stop` raise the first."""
        self.tokens: dict[str, str] = {}
        """The join token that each node was given."""
        self._tasks = Tasks(self.failures.append)
        self._watched: dict[str, asyncio.Task[None]] = {}
        self._refusals: dict[str, BaseException] = {}
        """Why a node could not be started the last time."""

    def watch_all(self) -> None:
        """Keep every node of the tree running from now on."""
        for node in self.tree.nodes.values():
            self.watch(node)

    def watch(self, node: SimNode) -> None:
        """Start a node, and again whenever it has died."""
        self._watched[node.name] = self._tasks.start(self._keep_up(node), f"supervise {node.name}")

    def leave(self, node: SimNode) -> None:
        """Let it lie when it dies."""
        self._watched.pop(node.name).cancel()

    def connected(self) -> bool:
        """Whether every node of the tree is up and in a session with its parent."""
        hubs = [node.hub for node in self.tree.nodes.values()]
        return all(hub is not None and (hub.uplink is None or hub.uplink.state.connected) for hub in hubs)

    async def until(self, condition: Callable[[], object], limit_s: float = UNTIL_S) -> None:
        """Let time pass until `condition` holds. Raises what failed meanwhile; TimeoutError after `limit_s` virtual
        seconds, with why nodes could not be started."""

        def holds() -> object:
            self.raise_failures()
            return condition()

        try:
            await self.tree.until(holds, limit_s)
        except TimeoutError as error:
            for name, refusal in self._refusals.items():
                error.add_note(f"{name} could not be started: {refusal}")
            raise

    async def stop(self) -> None:
        """Supervise no longer. The nodes go on. Raises what failed."""
        await self._tasks.stop()
        self.raise_failures()

    def raise_failures(self) -> None:
        """Raise the first failure of a supervised task."""
        if self.failures:
            raise self.failures[0]

    async def _keep_up(self, node: SimNode) -> None:
        while True:
            await node.down.wait()
            deaths = node.deaths
            try:
                if node.name not in self.tokens and (parent := self._parent(node)) is not None:
                    token = await insist(parent, lambda hub: hub.create_token(node.name, TOKEN_TTL_MS))
                    self.tokens[node.name] = token
                if node.hub is None:
                    await node.start(self.tokens.get(node.name))
                    for device in node.devices:
                        device.connect()
            except (LittoralError, PowerCut) as error:
                if node.deaths == deaths:
                    if isinstance(error, FOR_GOOD):
                        raise
                    # Its parent is out of reach, perhaps. `until` bounds how often it is tried.
                    self._refusals[node.name] = error
            else:
                self._refusals.pop(node.name, None)
            await asyncio.sleep(RESTART_S)

    def _parent(self, node: SimNode) -> SimNode | None:
        parent = node.config.spec.parent
        if parent is None:
            return None
        return next(each for each in self.tree.nodes.values() if each.peer_url == parent.url)


async def insist(node: SimNode, work: Callable[[Hub], Awaitable[T]], limit_s: float = UNTIL_S) -> T:
    """Ask a node again until it answers: a dead one says nothing, and may have done it. Raises TimeoutError, with the
    last refusal, after `limit_s` virtual seconds."""
    refusal: Exception | None = None
    try:
        async with asyncio.timeout(limit_s):
            while True:
                if (hub := node.hub) is not None:
                    try:
                        async with asyncio.timeout(ANSWER_S):
                            return await work(hub)
                    except (TimeoutError, LittoralError) as error:
                        refusal = error
                await asyncio.sleep(RESTART_S)
    except TimeoutError as error:
        raise TimeoutError(f"{node.name} did not do it within {limit_s:g} s: {refusal!r}") from error
