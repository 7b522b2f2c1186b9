"""The workers of one app: how many there are, which revision they run, and when one is started again.

A pool has `workers` slots. Each slot is one row of this table:

    current  coming   event                      then
    -------  -------  -------------------------  ------------------------------------------------------------
    none     none     placed, or delay passed    start a worker; it is coming
    any      some     ready                      it is current; the former current drains, then is killed
    any      some     exited, start took too     start again after a delay that doubles up to RESTART_DELAY_MS
                      long
    some     any      exited                     at once if it had run for STABLE_S, else after the delay
    any      any      zygote lost                none, none; when it is back, what it knows is taken over

A slot's socket has one path for all its workers: a gateway that loses a worker connects to the next one there.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from littoral.core.limits import FUNCTION_GRACE_MS, FUNCTION_START_MS, RESTART_DELAY_MS, Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.messages import EXIT_IMPORT, EXIT_MEMORY, Command, Drain, Kill, Start, WorkerEvent

FIRST_DELAY_MS = 50
STABLE_S = 5.0
"""A worker that ran so long was no failed start: its end is answered by an immediate restart."""

Reason = Literal["crash", "import", "memory", "replaced", "start-timeout", "stopped", "timeout"]


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
    current: _Worker | None = None
    coming: _Worker | None = None
    leaving: dict[int, _Worker] = field(default_factory=dict)
    failures: int = 0
    retry: asyncio.TimerHandle | None = None

    def workers(self) -> list[_Worker]:
        return [worker for worker in (self.current, self.coming, *self.leaving.values()) if worker is not None]

    def cancel_timers(self) -> None:
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None
        for worker in self.workers():
            worker.cancel_timer()


@dataclass(slots=True)
class PoolCounters:
    """Since the hub started."""

    starts: int = 0
    restarts: int = 0
    """Starts in the place of a worker that had ended without being asked to."""
    ends: Counter[Reason] = field(default_factory=Counter)
    """Workers that ended, by why."""
    last_failure: str = ""
    """Why the app last failed to start; empty once it started."""


class AppPool:
    """Keeps one app's workers alive."""

    def __init__(
        self, app: PlacedApp, limits: Limits, send: Callable[[Command], None], spec: Callable[[PlacedApp, int], bytes]
    ) -> None:
        """send: gives the zygote a command. spec: the encoded WorkerSpec of a slot."""
        self.app = app
        self.counters = PoolCounters()
        self._limits = limits
        self._send = send
        self._spec = spec
        self._slots = [_Slot(number) for number in range(app.workers)]
        self._reasons: dict[int, Reason] = {}
        self._loop = asyncio.get_running_loop()

    @property
    def ready(self) -> int:
        """Workers that answer requests now."""
        return sum(slot.current is not None for slot in self._slots)

    @property
    def settled(self) -> bool:
        """Whether every slot runs the wanted revision, and no worker is starting or leaving."""
        return all(self._up_to_date(slot) and slot.coming is None and not slot.leaving for slot in self._slots)

    @property
    def pids(self) -> list[int]:
        """Processes of the workers that answer requests now."""
        return [slot.current.pid for slot in self._slots if slot.current is not None]

    def update(self, app: PlacedApp) -> None:
        """Go over to another revision, or another number of workers; running requests end on their worker."""
        if app.revision != self.app.revision:
            self._forgive()
        self.app = app
        for slot in self._slots[app.workers :]:
            self._retire(slot)
        del self._slots[app.workers :]
        self._slots += [_Slot(number) for number in range(len(self._slots), app.workers)]
        self.fill()

    def stop(self) -> None:
        """Kill every worker; the app is not placed here any more."""
        for slot in self._slots:
            self._retire(slot)
        self._slots.clear()

    def fill(self) -> None:
        """Start what is missing."""
        for slot in self._slots:
            if slot.coming is None and slot.retry is None and not self._up_to_date(slot):
                self._start(slot)

    def kill(self, pid: int, reason: Reason) -> None:
        """Kill a worker of this app; nothing happens if it is gone already."""
        if any(worker.pid == pid for slot in self._slots for worker in slot.workers()):
            self._kill(pid, reason)

    def adopt(self, slot_number: int, revision: str, pid: int) -> bool:
        """Take over a ready worker that runs already. False if it is not wanted."""
        if slot_number >= len(self._slots) or self._slots[slot_number].current is not None:
            return False
        self._slots[slot_number].current = _Worker(revision, pid, self._loop.time())
        return True

    def adopt_leaving(self, slot_number: int, revision: str, pid: int) -> bool:
        """Take over a worker that finishes its last requests, and has been replaced. False if it is not wanted."""
        if slot_number >= len(self._slots):
            return False
        self._let_go(self._slots[slot_number], _Worker(revision, pid))
        return True

    def forget(self) -> None:
        """The zygote is gone, or connects anew: no worker is known."""
        for slot in self._slots:
            slot.cancel_timers()
        self._slots = [_Slot(slot.number, failures=slot.failures) for slot in self._slots]

    def event(self, event: WorkerEvent) -> None:
        """The zygote reports on a worker of this app."""
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
        elif event.kind == "failed":
            self.counters.last_failure = event.detail
        elif event.kind == "exited":
            self._ended(slot, event)

    def _forgive(self) -> None:
        """Another revision need not pay for the failures of this one."""
        for slot in self._slots:
            slot.failures = 0
            if slot.retry is not None:
                slot.retry.cancel()
                slot.retry = None

    def _up_to_date(self, slot: _Slot) -> bool:
        return slot.current is not None and slot.current.revision == self.app.revision

    def _start(self, slot: _Slot) -> None:
        slot.retry = None
        worker = _Worker(self.app.revision)
        self._watch_start(worker)
        slot.coming = worker
        self.counters.starts += 1
        self._send(Start(self.app.name, slot.number, self.app.revision, self._spec(self.app, slot.number)))

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
            self._drain(slot, slot.current)
        slot.current, slot.coming = worker, None
        self.counters.last_failure = ""
        self.fill()

    def _drain(self, slot: _Slot, worker: _Worker) -> None:
        self._let_go(slot, worker)
        self._send(Drain(worker.pid))

    def _let_go(self, slot: _Slot, worker: _Worker) -> None:
        """It may finish what it has begun, and no more."""
        grace_ms = self.app.wall_ms + self._limits[FUNCTION_GRACE_MS]
        self._reasons[worker.pid] = "replaced"
        slot.leaving[worker.pid] = worker
        worker.timer = self._loop.call_later(grace_ms / 1000, self._kill, worker.pid, "replaced")

    def _kill(self, pid: int, reason: Reason) -> None:
        if pid:
            self._reasons.setdefault(pid, reason)
            self._send(Kill(pid))

    def _retire(self, slot: _Slot) -> None:
        slot.cancel_timers()
        for worker in slot.workers():
            self._kill(worker.pid, "stopped")

    def _ended(self, slot: _Slot, event: WorkerEvent) -> None:
        self.counters.ends[self._reasons.pop(event.pid, _reason(event.detail))] += 1
        if (left := slot.leaving.pop(event.pid, None)) is not None:
            left.cancel_timer()
            return
        if slot.current is not None and slot.current.pid == event.pid:
            stable = self._loop.time() - slot.current.ready_at_s >= STABLE_S
            slot.failures = 0 if stable else slot.failures + 1
            slot.current = None
        elif slot.coming is not None and slot.coming.pid == event.pid:
            slot.coming.cancel_timer()
            slot.coming = None
            slot.failures += 1
            self.counters.last_failure = self.counters.last_failure or event.detail
        else:
            return
        self._schedule(slot)

    def _schedule(self, slot: _Slot) -> None:
        if slot.coming is not None or slot.retry is not None:
            return
        self.counters.restarts += 1
        slot.retry = self._loop.call_later(restart_delay_ms(slot.failures, self._limits) / 1000, self._start, slot)


def restart_delay_ms(failures: int, limits: Limits) -> int:
    """How long to wait before the next start, after so many workers in a row that did not last.

    The first failure costs nothing: a crash now and then must not make the app's clients wait.
    """
    if failures <= 1:
        return 0
    return min(limits[RESTART_DELAY_MS], FIRST_DELAY_MS << min(failures - 2, 16))


def _reason(detail: str) -> Reason:
    reasons: dict[str, Reason] = {f"exit {EXIT_IMPORT}": "import", f"exit {EXIT_MEMORY}": "memory"}
    return reasons.get(detail, "crash")
