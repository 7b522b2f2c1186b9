"""The hub's calls to the apps placed at its node, for what is no request of a client's."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from littoral.core.errors import NotFound, Unavailable
from littoral.core.event_limits import EVENT_WALL_MS
from littoral.core.limits import Limits
from littoral.core.random import Random
from littoral.core.tasks import Tasks
from littoral.functions.apps import PlacedApp
from littoral.functions.calls.client import FunctionClients, FunctionRequest, FunctionTarget
from littoral.functions.messages import Answer, EventKind

QUEUE_PATIENCE_S = 10.0
LOADS_S = 1.0
AGAIN_S = 0.5
"""Between two tries to give an event to an app of which no worker runs."""
ID_BYTES = 8


class AppEvents:
    """Implements `littoral.functions.event_caller.EventCaller`."""

    def __init__(
        self,
        sockets: Callable[[PlacedApp], list[str]],
        kill: Callable[[str, int], None],
        limits: Limits,
        random: Random,
        failed: Callable[[BaseException], None],
        want: Callable[[str, int], None] = lambda app, count: None,
        load: Callable[[Mapping[str, int]], None] = lambda loads: None,
    ) -> None:
        """sockets: where an app's workers are reached. kill: ends the worker of an app with this process id. failed:
        receives errors that are faults of ours. want: has workers of an app started for so many calls. load: told each
        second how many are under way, so that none is taken to be idle."""
        self._sockets = sockets
        self._limits = limits
        self._random = random
        self._tasks = Tasks(failed)
        self._clients = FunctionClients(kill, self._tasks, want)
        self.workers = self._clients.workers
        """To be told where workers of an app are reached."""
        self.meters = self._clients.meters
        """What is counted of these calls."""
        self._apps: dict[str, PlacedApp] = {}
        self._called: set[str] = set()
        self._asking: Counter[str] = Counter()
        """Calls under way, by app."""
        self._load = load
        self._telling: asyncio.Task[None] | None = None

    def apply(self, apps: Iterable[PlacedApp], called: Iterable[str]) -> None:
        """Exactly these apps are there. called: those that something calls; with the workers of others there are no
        connections until something does."""
        self._apps = {app.name: app for app in apps}
        # A call under way keeps its connection, though nothing but an operator asked for it.
        self._called = {name for name in (*called, *self._asking) if name in self._apps}
        self._configure()

    def _configure(self) -> None:
        wall_ms = self._limits[EVENT_WALL_MS]
        targets = [FunctionTarget(name, self._sockets(self._apps[name]), wall_ms) for name in sorted(self._called)]
        self._clients.configure(targets, self._limits)

    async def __call__(self, app: str, kind: EventKind, subject: str, body: bytes) -> Answer:
        """See EventCaller."""
        loop = asyncio.get_running_loop()
        # A queue keeps its messages, says why, and comes again.
        patience_s = QUEUE_PATIENCE_S if kind == "queue" else self._limits[EVENT_WALL_MS] / 1000
        until = loop.time() + patience_s
        request_id = self._random.token_bytes(ID_BYTES).hex()
        while True:
            try:
                return await self.ask(app, FunctionRequest(kind, subject, [], body, request_id, kind))
            except Unavailable:
                # It has handled nothing of it: its workers are about to start, or are all busy.
                if loop.time() >= until:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def ask(self, app: str, request: FunctionRequest) -> Answer:
        """One try. Raises as EventCaller; NotFound for an app that is not placed here."""
        if app not in self._apps:
            raise NotFound("call app", app, "it is not placed at this node", "`littoral status` names those that are")
        if app not in self._called:
            self._called.add(app)
            self._configure()
        if self._telling is None or self._telling.done():
            self._telling = self._tasks.start(self._tell_loads(), "loads by events")
        self._asking[app] += 1
        try:
            return await self._clients.event(app, request)
        finally:
            self._asking[app] -= 1
            if not self._asking[app]:
                del self._asking[app]

    async def _tell_loads(self) -> None:
        """As long as anything is under way."""
        while True:
            await asyncio.sleep(LOADS_S)
            if not (loads := self._clients.loads()):
                return
            self._load(loads)

    async def stop(self) -> None:
        """Let go of all workers."""
        self._clients.stop()
        await self._tasks.stop()
