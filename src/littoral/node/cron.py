"""The cron triggers of the apps placed at a node.

A run is noted in the store before it begins, so that none is made twice: one that a crash of the hub cuts off is reported as
interrupted, and not made again. The runs of one trigger are made one after the other; what is due while one is under way
counts as missed if that takes longer than a minute.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Literal

import msgspec
from msgspec import Struct

from littoral.core.clock import Clock
from littoral.core.cron import Cron
from littoral.core.errors import LittoralError
from littoral.core.event_limits import CRON_JITTER_MS, CRON_MISSED_RUNS, CRON_RUNS
from littoral.core.limits import Limits
from littoral.core.random import Random
from littoral.core.resources.app_events import CronTrigger
from littoral.core.tasks import Tasks
from littoral.functions.apps import PlacedApp
from littoral.functions.event_caller import EventCaller
from littoral.functions.event_messages import scheduled_body
from littoral.node.cron_plan import plan
from littoral.store.store import Store
from littoral.store.stubborn import commit_stubbornly
from littoral.store.transaction import Transaction

SCOPE = "cron"
LOOK_AGAIN_S = 30.0
"""A clock that is set forward is noticed after this."""
ERROR_CHARACTERS = 500
_log = logging.getLogger("littoral.cron")

Outcome = Literal["running", "done", "failed", "interrupted"]


class CronRun(Struct, frozen=True, array_like=True):
    """One run."""

    scheduled_ms: int
    """When it was due, ms since the epoch."""
    began_ms: int
    ended_ms: int = 0
    """0 while it runs, and where nobody knows."""
    outcome: Outcome = "running"
    """interrupted: the node stopped meanwhile; what it did is unknown, and it is not made again."""
    error: str = ""


class CronState(Struct, frozen=True, array_like=True):
    """What is kept of a trigger."""

    upto_ms: int
    """All that was due up to then has been run or passed over."""
    last: CronRun | None = None
    done: int = 0
    failed: int = 0
    """Runs that ended so, since the trigger came to this node."""


class CronStatus(Struct, frozen=True):
    """One trigger of one app at this node."""

    app: str
    cron: str
    missed: str
    next_ms: int | None
    """When it is due next, ms since the epoch."""
    last_ms: int | None = None
    """When the last run was due."""
    began_ms: int | None = None
    ended_ms: int | None = None
    outcome: Outcome | None = None
    error: str = ""
    done: int = 0
    failed: int = 0


class CronDesk:
    """Runs the triggers."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        random: Random,
        limits: Limits,
        call: EventCaller,
        failed: Callable[[BaseException], None],
    ) -> None:
        """failed: receives errors that are faults of ours."""
        self._store = store
        self._clock = clock
        self._random = random
        self._limits = limits
        self._call = call
        self._tasks = Tasks(failed)
        self._running: dict[str, tuple[_Trigger, asyncio.Task[None]]] = {}
        self._room = asyncio.Semaphore(limits[CRON_RUNS])

    def apply(self, apps: Iterable[PlacedApp], wanted: Collection[str]) -> None:
        """Run the triggers of exactly these apps. What is kept of triggers of apps that are not `wanted` here, and of
        triggers that these apps do not have any more, is forgotten: they begin anew should they come back."""
        here = {app.name: {_key(app.name, each.cron): each for each in app.crons} for app in apps}
        triggers = {key: (app, each) for app, crons in here.items() for key, each in crons.items()}
        for key, (trigger, task) in list(self._running.items()):
            if key not in triggers or trigger.said != triggers[key][1]:
                task.cancel()
                del self._running[key]
        for key, (app, each) in triggers.items():
            if key not in self._running:
                trigger = _Trigger(key, app, each, self._random.uniform(0, self._limits[CRON_JITTER_MS]))
                self._running[key] = trigger, self._tasks.start(self._keep(trigger), f"cron {key}")
        self._tasks.start(self._forget(lambda app, key: app in wanted and key in here.get(app, {key})), "forget crons")

    def statuses(self) -> list[CronStatus]:
        """All triggers, by app."""
        return [self._status(trigger) for _, (trigger, _) in sorted(self._running.items())]

    async def stop(self) -> None:
        """Begin no more runs; those that are under way are cut off."""
        await self._tasks.stop()
        self._running.clear()

    def _status(self, trigger: "_Trigger") -> CronStatus:
        state = trigger.state
        now_ms = self._clock.wall_ms()
        due = trigger.cron.next_after(max(now_ms, state.upto_ms) if state is not None else now_ms)
        status = CronStatus(trigger.app, trigger.said.cron, trigger.said.missed, due)
        if state is None:
            return status
        status = msgspec.structs.replace(status, done=state.done, failed=state.failed)
        if (last := state.last) is None:
            return status
        return msgspec.structs.replace(
            status,
            last_ms=last.scheduled_ms,
            began_ms=last.began_ms,
            ended_ms=last.ended_ms or None,
            outcome=last.outcome,
            error=last.error,
        )

    async def _keep(self, trigger: "_Trigger") -> None:
        """Run one trigger until cancelled."""
        state = await self._begin(trigger)
        while True:
            now_ms = self._clock.wall_ms() - int(trigger.jitter_ms)
            due = plan(trigger.cron, trigger.said.missed, state.upto_ms, now_ms, self._limits[CRON_MISSED_RUNS])
            for moment in due.runs:
                state = await self._run(trigger, state, moment)
            if state.upto_ms != due.upto_ms:
                state = await self._note(trigger, msgspec.structs.replace(state, upto_ms=due.upto_ms))
            if not due.runs:
                following = trigger.cron.next_after(max(now_ms, state.upto_ms))
                wait_s = LOOK_AGAIN_S if following is None else (following - now_ms) / 1000
                await asyncio.sleep(min(wait_s, LOOK_AGAIN_S))

    async def _begin(self, trigger: "_Trigger") -> "CronState":
        """What is kept of it; one that is new here begins with what is due from now on."""
        held: list[bytes] = []
        new = CronState(self._clock.wall_ms())

        def begin(tx: Transaction) -> None:
            found = tx.get_state(SCOPE, trigger.key)
            held[:] = [found] if found is not None else []
            if found is None:
                tx.put_state(SCOPE, trigger.key, _encode(new))

        await commit_stubbornly(self._store, begin, _ignore)
        state = _decode(held[0]) if held else new
        if state.last is not None and state.last.outcome == "running":
            last = msgspec.structs.replace(state.last, outcome="interrupted")
            state = msgspec.structs.replace(state, last=last, failed=state.failed + 1)
        trigger.state = state
        return state

    async def _run(self, trigger: "_Trigger", state: CronState, moment: int) -> CronState:
        async with self._room:
            run = CronRun(moment, self._clock.wall_ms())
            state = await self._note(trigger, msgspec.structs.replace(state, upto_ms=moment, last=run))
            error = ""
            try:
                body = scheduled_body(trigger.said.cron, moment)
                await self._call(trigger.app, "scheduled", trigger.said.cron, body)
            except LittoralError as failure:
                error = str(failure)
                _log.warning("cron %r of app %s failed: %s", trigger.said.cron, trigger.app, error)
            run = CronRun(
                moment, run.began_ms, self._clock.wall_ms(), "failed" if error else "done", error[:ERROR_CHARACTERS]
            )
            done, failed = state.done + (not error), state.failed + bool(error)
            return await self._note(trigger, CronState(state.upto_ms, run, done, failed))

    async def _note(self, trigger: "_Trigger", state: CronState) -> CronState:
        await commit_stubbornly(self._store, lambda tx: tx.put_state(SCOPE, trigger.key, _encode(state)), _ignore)
        trigger.state = state
        return state

    async def _forget(self, keep: Callable[[str, str], bool]) -> None:
        def forget(tx: Transaction) -> None:
            for key in tx.state(SCOPE):
                if not keep(key.partition(" ")[0], key):
                    tx.put_state(SCOPE, key, None)

        await commit_stubbornly(self._store, forget, _ignore)


class _Trigger:
    """One trigger of one app."""

    def __init__(self, key: str, app: str, said: CronTrigger, jitter_ms: float) -> None:
        self.key = key
        self.app = app
        self.said = said
        self.cron = Cron(said.cron)
        self.jitter_ms = jitter_ms
        self.state: CronState | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CronState).decode


def _key(app: str, cron: str) -> str:
    return f"{app} {cron}"


def _ignore(reason: str) -> None:
    """The store says so itself, in the log and in the node's status."""
