"""The workers of one app: how many there are, which revision they run, and when one is started again.

A pool has as many slots as the app may have workers; a slot without a worker costs nothing. How many are needed follows from
the requests that gateways have in flight: one for every FUNCTION_BUSY of them. A slot is needed from then on for the app's
idle time, so that what comes and goes quickly starts and ends nothing. Each slot is one row of this table:

    needed   current  coming   event                      then
    -------  -------  -------  -------------------------  ------------------------------------------------------------
    becomes  none     none     requests, a new revision   start a worker; it is coming
    yes      any      some     ready                      it is current; the former current drains, then is killed
    yes      any      exited   it never was ready         start again after a delay that doubles: up to
                                                          FUNCTION_RETRY_MS where its code failed
    yes      exited   any                                 at once if it had run for STABLE_S, else after a delay that
                                                          doubles up to RESTART_DELAY_MS
    ends     some     none     nobody asked for so long   it drains; the slot's socket is taken away first
    ends     some     some     the app is taken away      likewise; what is coming is killed
    any      any      any      zygote lost                none, none; when it is back, what it knows is taken over

A slot's socket has one path for all its workers: a gateway that loses a worker connects to the next one there. A revision
that nobody asks for is tried once all the same: whether it starts is known before it is needed.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from littoral.core.event_limits import EVENT_WALL_MS
from littoral.core.function_limits import (
    FUNCTION_BUSY,
    FUNCTION_DRAIN_S,
    FUNCTION_GRACE_MS,
    FUNCTION_RETRY_MS,
    FUNCTION_START_MS,
)
from littoral.core.limit import Limit
from littoral.core.limits import RESTART_DELAY_MS, Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.hub.pool_counters import PoolCounters, Reason, reason_of
from littoral.functions.messages import Command, Drain, Kill, Start, WorkerEvent

FIRST_DELAY_MS = 50
STABLE_S = 5.0
"""A worker that ran so long was no failed start: its end is answered by an immediate restart."""


class PoolHost(Protocol):
    """What a pool asks of the runtime."""

    def give(self, app: PlacedApp, command: Command, *, urgent: bool = False) -> None:
        """Tell the zygote. urgent: requests wait for what is started."""
        ...

    def spec(self, app: PlacedApp, slot: int) -> bytes:
        """The encoded WorkerSpec of a slot."""
        ...

    def close_slot(self, app: PlacedApp, slot: int) -> None:
        """Nobody is to connect to the slot's worker any more."""
        ...

    def changed(self, pool: "AppPool") -> None:
        """A worker can be reached, or none can be started: gateways are to know."""
        ...


@dataclass(slots=True)
class _Worker:
    revision: str
    pid: int = 0
    """0 until the zygote has forked it."""
    ready_at_s: float = 0.0
    timer: asyncio.TimerHandle | None = None

    def cancel_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass(slots=True)
class _Slot:
    number: int
    needed_until_s: float = 0.0
    current: _Worker | None = None
    coming: _Worker | None = None
    failures: int = 0
    retry: asyncio.TimerHandle | None = None
    order: Start | None = None
    """What the zygote is told to start a worker, once one was: to put it together takes a part of the time that a request waits."""

    def workers(self) -> list[_Worker]:
        return [worker for worker in (self.current, self.coming) if worker is not None]

    def cancel_retry(self) -> None:
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None

    def cancel_timers(self) -> None:
        self.cancel_retry()
        for worker in self.workers():
            worker.cancel_timer()


class AppPool:
    """Keeps one app's workers alive for as long as they are needed."""

    def __init__(self, app: PlacedApp, limits: Limits, host: PoolHost) -> None:
        self.app = app
        self.counters = PoolCounters()
        self.asked_at_s = 0.0
        """When requests were last there."""
        self._limits = limits
        self._host = host
        self._tried = ""
        """The revision of which a worker was started last without being asked for."""
        self._slots: list[_Slot] = []
        self._leaving: dict[int, _Worker] = {}
        self._reasons: dict[int, Reason] = {}
        self._loop = asyncio.get_running_loop()
        self._resize()

    @property
    def ready(self) -> int:
        """Workers that answer requests now."""
        return sum(slot.current is not None for slot in self._slots)

    @property
    def starting(self) -> int:
        """Workers that are about to."""
        return sum(slot.coming is not None for slot in self._slots)

    @property
    def ready_slots(self) -> list[int]:
        """Where they are reached."""
        return [slot.number for slot in self._slots if slot.current is not None]

    @property
    def revision(self) -> str:
        """The one that answers requests: another than the app's while that has not started. Empty where none does."""
        return next((slot.current.revision for slot in self._slots if slot.current is not None), "")

    @property
    def revisions(self) -> set[str]:
        """Of the workers that answer requests, and of those that finish what they have begun; and of the gateways that do."""
        by_gateways = {self.app.revision} if self.app.inline else set()
        return {worker.revision for worker in self._leaving.values()} | {self.revision} | by_gateways

    @property
    def is_leaving(self) -> bool:
        """Whether workers finish what they have begun."""
        return bool(self._leaving)

    @property
    def last_answer_s(self) -> float:
        """Within so many seconds what no worker is to begin any more has ended."""
        # Answers are over after their wall time, and what is streamed is ended by whoever streams it.
        has_events = self.app.crons or self.app.queues.consumers
        wall_ms = max(self.app.wall_ms, self._limits[EVENT_WALL_MS] if has_events else 0)
        return self._limits[FUNCTION_DRAIN_S] + (wall_ms + self._limits[FUNCTION_GRACE_MS]) / 1000

    def runs(self, revision: str) -> bool:
        """Whether a worker of that revision answers requests, or is about to."""
        return any(worker.revision == revision for slot in self._slots for worker in slot.workers())

    @property
    def is_failing(self) -> bool:
        """Whether no worker answers, and none is about to: the last did not start, and the next has to wait its time."""
        return bool(self.counters.last_failure) and not any(slot.workers() for slot in self._slots)

    @property
    def settled(self) -> bool:
        """Whether every slot that is needed runs the wanted revision, and no worker is starting or leaving."""
        return not self._leaving and all(
            slot.coming is None and (self._up_to_date(slot) if self._needed(slot) else slot.current is None)
            for slot in self._slots
        )

    @property
    def pids(self) -> list[int]:
        """Processes of the workers that answer requests now."""
        return [slot.current.pid for slot in self._slots if slot.current is not None]

    def update(self, app: PlacedApp) -> None:
        """Go over to another revision, or another number of workers; running requests end on their worker."""
        if app.revision != self.app.revision:
            self._forgive()
        self._go_by(app)
        if self._tried != app.revision and not any(self._up_to_date(slot) for slot in self._slots):
            self._tried = app.revision
            self._need(1)
        self.fill()

    def expect(self, app: PlacedApp) -> None:
        """As `update`, before it is known which workers there are: nothing is started."""
        self._go_by(app)

    def want(self, in_flight: int) -> None:
        """So many requests are under way or wait; a worker that is missing for them is started."""
        self.asked_at_s = self._loop.time()
        self._need(max(1, -(-in_flight // self._limits[FUNCTION_BUSY])))
        self.fill(urgent=True)

    def shrink(self) -> None:
        """Let go of the workers that are not needed any more."""
        for slot in self._slots:
            if slot.current is not None and slot.coming is None and not self._needed(slot):
                self._let_idle_go(slot)

    def rest(self) -> None:
        """Let go of all workers that the app does not always have: others were asked for more recently."""
        for slot in self._slots:
            slot.needed_until_s = 0.0
        self.shrink()

    def part(self) -> None:
        """The app is not placed here any more: its workers finish what they have begun, and nothing is started. `update` has it
        placed again."""
        for slot in self._slots:
            slot.cancel_retry()
            if slot.current is not None:
                self._host.close_slot(self.app, slot.number)
                self._drain(slot.current, "stopped")
            if slot.coming is not None:
                slot.coming.cancel_timer()
                self._kill(slot.coming.pid, "stopped")
        self._slots.clear()
        self._tried = ""

    def fill(self, *, urgent: bool = False) -> None:
        """Start what is missing. urgent: requests wait for it."""
        for slot in self._slots:
            if slot.coming is None and slot.retry is None and self._needed(slot) and not self._up_to_date(slot):
                self._start(slot, urgent=urgent)

    def kill(self, pid: int, reason: Reason) -> None:
        """Kill a worker of this app; nothing happens if it is gone already."""
        if pid in self._leaving or any(worker.pid == pid for slot in self._slots for worker in slot.workers()):
            self._kill(pid, reason)

    def adopt(self, slot_number: int, revision: str, pid: int) -> bool:
        """Take over a ready worker that runs already. False if it is not wanted."""
        if slot_number >= len(self._slots) or self._slots[slot_number].current is not None:
            return False
        slot = self._slots[slot_number]
        slot.current = _Worker(revision, pid, self._loop.time())
        # Nobody knows when it was asked last.
        slot.needed_until_s = self._loop.time() + self.app.idle_s
        return True

    def adopt_leaving(self, revision: str, pid: int) -> None:
        """Take over a worker that finishes its last requests: it has been replaced, or was not needed."""
        self._let_go(_Worker(revision, pid), "replaced")

    def dismiss(self, revision: str, pid: int) -> None:
        """Let a ready worker finish its last requests that runs already and is not wanted."""
        self._drain(_Worker(revision, pid), "stopped")

    def forget(self) -> None:
        """The zygote is gone, or connects anew: no worker is known."""
        for slot in self._slots:
            slot.cancel_timers()
            slot.current = slot.coming = None
        for worker in self._leaving.values():
            worker.cancel_timer()
        self._leaving.clear()
        self._reasons.clear()

    def event(self, event: WorkerEvent) -> None:
        """The zygote reports on a worker of this app."""
        if event.kind == "exited" and (left := self._leaving.pop(event.pid, None)) is not None:
            left.cancel_timer()
            self._count_end(event)
            return
        if event.slot >= len(self._slots):
            if event.kind == "started":
                self._kill(event.pid, "stopped")
            return
        slot = self._slots[event.slot]
        coming = slot.coming
        if event.kind == "started":
            if coming is not None and coming.pid == 0 and coming.revision == event.revision:
                coming.pid = event.pid
            else:
                self._kill(event.pid, "stopped")
        elif event.kind == "ready" and coming is not None and coming.pid == event.pid:
            self._arrived(slot, coming)
        elif event.kind == "failed" and event.revision == self.app.revision:
            # Of one that was killed for its time, the zygote knows only that it died.
            if self._reasons.get(event.pid) != "start-timeout":
                self.counters.last_failure = event.detail
        elif event.kind == "exited":
            self._ended(slot, event)

    # How many

    def _go_by(self, app: PlacedApp) -> None:
        if app != self.app:
            for slot in self._slots:
                slot.order = None
        self.app = app
        self._resize()

    def _resize(self) -> None:
        for slot in self._slots[self.app.workers :]:
            slot.cancel_retry()
            if slot.current is not None:
                self._let_idle_go(slot)
            if slot.coming is not None:
                slot.coming.cancel_timer()
                self._kill(slot.coming.pid, "stopped")
        del self._slots[self.app.workers :]
        self._slots += [_Slot(number) for number in range(len(self._slots), self.app.workers)]

    def _need(self, count: int) -> None:
        until_s = self._loop.time() + self.app.idle_s
        for slot in self._slots[:count]:
            slot.needed_until_s = until_s

    def _needed(self, slot: _Slot) -> bool:
        return slot.number < self.app.min_workers or slot.needed_until_s > self._loop.time()

    def _up_to_date(self, slot: _Slot) -> bool:
        return slot.current is not None and slot.current.revision == self.app.revision

    # One worker's life

    def _forgive(self) -> None:
        """Another revision need not pay for the failures of this one."""
        self.counters.last_failure = ""
        for slot in self._slots:
            slot.failures = 0
            slot.cancel_retry()

    def _start(self, slot: _Slot, *, urgent: bool = False) -> None:
        worker = _Worker(self.app.revision)
        self._watch_start(worker)
        slot.coming = worker
        self.counters.starts += 1
        self.counters.cold += urgent and slot.current is None
        if slot.order is None:
            slot.order = Start(
                self.app.name,
                slot.number,
                self.app.revision,
                self._host.spec(self.app, slot.number),
                self.app.bounds.log_lines,
                self.app.bounds.log_bytes,
            )
        self._host.give(self.app, slot.order, urgent=urgent)

    def _watch_start(self, worker: _Worker) -> None:
        delay_s = self._limits[FUNCTION_START_MS] / 1000
        worker.timer = self._loop.call_later(delay_s, self._took_too_long, worker)

    def _took_too_long(self, worker: _Worker) -> None:
        if not worker.pid:
            # The zygote is busy and has not forked it yet: its time begins anew, so that it is not watched by nobody.
            self._watch_start(worker)
            return
        self._limits.hit(FUNCTION_START_MS)
        self.counters.last_failure = f"the import did not end within {self._limits[FUNCTION_START_MS]} ms"
        self._kill(worker.pid, "start-timeout")

    def _arrived(self, slot: _Slot, worker: _Worker) -> None:
        worker.cancel_timer()
        worker.ready_at_s = self._loop.time()
        if slot.current is not None:
            self._drain(slot.current, "replaced")
        slot.current, slot.coming = worker, None
        self.counters.last_failure = ""
        self._host.changed(self)
        self.fill()

    def _let_idle_go(self, slot: _Slot) -> None:
        assert slot.current is not None
        self._host.close_slot(self.app, slot.number)
        self._drain(slot.current, "idle")
        slot.current = None

    def _drain(self, worker: _Worker, reason: Reason) -> None:
        self._let_go(worker, reason)
        self._host.give(self.app, Drain(worker.pid))

    def _let_go(self, worker: _Worker, reason: Reason) -> None:
        """It may finish what it has begun, and no more."""
        self._reasons[worker.pid] = reason
        self._leaving[worker.pid] = worker
        worker.timer = self._loop.call_later(self.last_answer_s, self._kill, worker.pid, reason)

    def _kill(self, pid: int, reason: Reason) -> None:
        if pid:
            self._reasons.setdefault(pid, reason)
            self._host.give(self.app, Kill(pid))

    def _count_end(self, event: WorkerEvent) -> None:
        self.counters.ends[self._reasons.pop(event.pid, reason_of(event.detail))] += 1

    def _ended(self, slot: _Slot, event: WorkerEvent) -> None:
        self._count_end(event)
        if slot.current is not None and slot.current.pid == event.pid:
            stable = self._loop.time() - slot.current.ready_at_s >= STABLE_S
            slot.failures = 0 if stable else slot.failures + 1
            slot.current = None
            self._schedule(slot, RESTART_DELAY_MS)
        elif slot.coming is not None and slot.coming.pid == event.pid:
            slot.coming.cancel_timer()
            slot.coming = None
            slot.failures += 1
            self.counters.last_failure = self.counters.last_failure or event.detail
            self._schedule(slot, FUNCTION_RETRY_MS)
            self._host.changed(self)

    def _schedule(self, slot: _Slot, most: Limit) -> None:
        if slot.coming is not None or slot.retry is not None or not self._needed(slot):
            return
        self.counters.restarts += 1
        delay_s = restart_delay_ms(slot.failures, self._limits[most]) / 1000
        slot.retry = self._loop.call_later(delay_s, self._retry, slot)

    def _retry(self, slot: _Slot) -> None:
        slot.retry = None
        self.fill()


def restart_delay_ms(failures: int, most_ms: int) -> int:
    """How long to wait before the next start, after so many workers in a row that did not last.

    The first failure costs nothing: a crash now and then must not make the app's clients wait.
    """
    if failures <= 1:
        return 0
    return min(most_ms, FIRST_DELAY_MS << min(failures - 2, 16))
