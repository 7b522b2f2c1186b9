"""The hub's side of functions: which apps are placed here, and their pools.

Gateways tell of the requests they have in flight (`want`, `load`), and are told which slots have a worker (`listeners`).
"""

import asyncio
import contextlib
import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path

import msgspec

from littoral.core.function_limits import (
    BINDING_WAIT_MS,
    FUNCTION_BACKGROUND,
    FUNCTION_BODY_BYTES,
    FUNCTION_ENVIRONMENT_BYTES,
    FUNCTION_INFLIGHT,
    FUNCTION_WARM,
)
from littoral.core.limits import CONTROL_FRAME_BYTES, Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.connection import check_socket_path
from littoral.functions.hub.bindings import Credentials, binding_frame_bytes
from littoral.functions.hub.egress_desk import EgressDesk
from littoral.functions.hub.inference_desk import InferenceDesk
from littoral.functions.hub.pool import AppPool
from littoral.functions.hub.preloads import Key, Preloads
from littoral.functions.hub.starts import StartQueue
from littoral.functions.hub.worker_bindings import worker_bindings
from littoral.functions.hub.zygote_link import ZygoteLink
from littoral.functions.messages import FRAME_OVERHEAD_BYTES, PRELOAD, Command, Kill, Start, WorkerEvent, WorkerSpec
from littoral.functions.places import BINDINGS, EGRESS, INFERENCE, PLACE_CHARACTERS, WORKERS, worker_socket
from littoral.functions.stream_terms import stream_terms

_encode = msgspec.msgpack.Encoder().encode

TICK_S = 1.0
"""How often it is looked for workers that are not needed any more."""
INLINE_SLOT = 1000
"""From here on the numbers of slots are those of gateways that run an app in their own processes: of their credentials, and logs."""
HEARD_S = 2.5
"""A gateway's load counts for so long: each tells its own once a second."""

WorkersListener = Callable[[str, list[int], bool], None]
"""Told of an app: the slots whose workers can be reached, and whether it cannot be started."""


class FunctionRuntime:
    """Keeps the placed apps' workers running, through a zygote that the supervisor keeps running."""

    def __init__(
        self, run_dir: Path, limits: Limits, credentials: Credentials, failed: Callable[[BaseException], None]
    ) -> None:
        """run_dir: the node's directory of sockets, absolute; the zygote listens there at zygote.sock.

        failed: receives errors that are faults of ours.
        """
        self.node = ""
        """The node's name: what functions find in `request.cf.colo`."""
        self._run_dir = run_dir
        self._limits = limits
        self._credentials = credentials
        self._pools: dict[str, AppPool] = {}
        self._parting: dict[str, AppPool] = {}
        """Of apps that are not placed here any more, while their workers finish what they have begun."""
        self._place_of: dict[str, str] = {}
        """By app, what `_place` has worked out: a request may wait for it."""
        self._answering: dict[str, asyncio.TimerHandle] = {}
        """Of such apps, those that gateways run in their own processes: these do not tell when they are done, and have their time."""
        self.left: Callable[[], None] = lambda: None
        """Called when the last worker of such an app has ended."""
        self._starts = StartQueue(limits)
        self._preloads = Preloads(limits, lambda command: self._link.send(command), self._environment_spec)
        self._egress = EgressDesk(run_dir, credentials, limits)
        self.inference = InferenceDesk(run_dir, credentials, limits)
        self._loads: dict[str, dict[int, tuple[int, float]]] = {}
        """By app and gateway: requests in flight, and when that was heard."""
        self._tick: asyncio.TimerHandle | None = None
        self.listeners: list[WorkersListener] = []
        """Those that call workers: told whenever there is another one, or none can be had."""
        self.shows_errors = False
        """Whether clients see tracebacks of apps: at the node of a developer."""
        self.log: Callable[[str, int, str], None] = lambda app, slot, text: None
        """Told what workers write."""
        self._known = False
        """Whether the zygote has told which workers there are; nothing is started before."""
        self._unconfined = ""
        """What this node cannot do to confine workers."""
        self._link = ZygoteLink(run_dir / "zygote.sock", self._event, self._lost, failed, limits[CONTROL_FRAME_BYTES])

    @property
    def pools(self) -> dict[str, AppPool]:
        """The pools by app: `ready`, `pids` and `counters` are for status and metrics."""
        return self._pools

    @property
    def parting(self) -> dict[str, AppPool]:
        """The pools of apps that were taken away and have workers yet: what these have begun needs the app's bindings and code."""
        return self._parting

    def isolation_of(self, app: PlacedApp) -> str:
        """The app's level of isolation, and what of it is not to be had here."""
        level = "inline" if app.inline else app.bounds.isolation
        # A sandbox that lacks something does not start, and its failure says why.
        return f"{level}, without: {self._unconfined}" if self._unconfined and level == "process" else level

    @property
    def environments(self) -> int:
        """Processes that hold apps' packages."""
        return self._preloads.count

    @property
    def held_revisions(self) -> Collection[Key]:
        """Apps and revisions whose packages are held: their code is to stay where it is."""
        return self._preloads.revisions

    @property
    def knows_workers(self) -> bool:
        """Whether the zygote has told which workers there are."""
        return self._known

    def start(self) -> None:
        """Connect to the zygote, now and whenever it is lost."""
        os.makedirs(self._run_dir / WORKERS, mode=0o700, exist_ok=True)
        self._link.start()
        self._tick = asyncio.get_running_loop().call_later(TICK_S, self._look)

    async def stop(self) -> None:
        """Let go of the zygote; its workers go on, and the next hub takes them over."""
        if self._tick is not None:
            self._tick.cancel()
        for timer in self._answering.values():
            timer.cancel()
        self._answering.clear()
        self._forget()
        await self._link.stop()

    def apply(self, apps: Iterable[PlacedApp]) -> None:
        """Run exactly these apps. Raises StartupError where a socket's path would be too long."""
        wanted = {app.name: app for app in apps}
        kept = {path for app in wanted.values() for path in self.sockets(app)}
        former = {path for pool in self._pools.values() for path in self.sockets(pool.app)}
        for path in former - kept:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        for name in self._pools.keys() - wanted.keys():
            self._starts.forget(name)
            self._preloads.forget_app(name)
            self._loads.pop(name, None)
            pool = self._parting[name] = self._pools.pop(name)
            pool.part()
            if pool.app.inline:
                timer = asyncio.get_running_loop().call_later(pool.last_answer_s, self._answered, name)
                self._answering[name] = timer
            self._forget_parted(name)
        for name, app in wanted.items():
            if (back := self._answering.pop(name, None)) is not None:
                back.cancel()
            pool = self._pools.get(name) or self._parting.pop(name, None) or AppPool(app, self._limits, self)
            self._pools[name] = pool
            if self._known:
                pool.update(app)
            else:
                pool.expect(app)
        # Of those that have no document any more nobody knows what they may.
        served = [*wanted.values(), *(pool.app for pool in self._parting.values() if pool.app.directory)]
        self._egress.apply(served)
        self.inference.apply(served)

    def _forget_parted(self, app: str) -> bool:
        """Whether nothing is left of an app that was taken away."""
        pool = self._parting.get(app)
        if pool is None or pool.is_leaving or app in self._answering:
            return False
        del self._parting[app]
        self._place_of.pop(app, None)
        return True

    def _answered(self, app: str) -> None:
        """What gateways had begun of an app that was taken away has had its time."""
        del self._answering[app]
        if self._forget_parted(app):
            self.left()

    def kill(self, app: str, pid: int) -> None:
        """A gateway waited in vain for this worker."""
        if (pool := self._pools.get(app) or self._parting.get(app)) is not None:
            pool.kill(pid, "timeout")

    # What gateways tell

    def want(self, app: str, in_flight: int) -> None:
        """Requests wait for a worker of this app, or have more in flight than the workers should. Whoever asks is told what
        there is."""
        pool = self._pools.get(app)
        if pool is None:
            return
        if self._known:
            pool.want(in_flight)
            self._starts.hurry(app)
        if pool.ready or pool.is_failing:
            self.changed(pool)

    def load(self, gateway: int, in_flight: Mapping[str, int]) -> None:
        """The most requests that a gateway had under way since it told last, by app."""
        now_s = asyncio.get_running_loop().time()
        for app, count in in_flight.items():
            pool = self._pools.get(app)
            if pool is None:
                continue
            heard = self._loads.setdefault(app, {})
            heard[gateway] = (count, now_s)
            if self._known:
                pool.want(sum(each for each, at_s in heard.values() if now_s - at_s < HEARD_S))

    def reachable(self) -> Iterable[tuple[str, list[int], bool]]:
        """Of each app that has workers or cannot have any: the slots where they are reached, and whether there can be none."""
        for name, pool in self._pools.items():
            if pool.ready or pool.is_failing:
                yield name, pool.ready_slots, pool.is_failing

    def _look(self) -> None:
        self._tick = asyncio.get_running_loop().call_later(TICK_S, self._look)
        self._egress.look()
        self.inference.look()
        for pool in self._pools.values():
            pool.shrink()
        self._preloads.shrink(self._runs, self._places)
        spare = sum(max(0, pool.ready - pool.app.min_workers) for pool in self._pools.values())
        if spare <= self._limits[FUNCTION_WARM]:
            return
        self._limits.hit(FUNCTION_WARM)
        for pool in sorted(self._pools.values(), key=lambda pool: pool.asked_at_s):
            if spare <= self._limits[FUNCTION_WARM]:
                break
            spare -= max(0, pool.ready - pool.app.min_workers)
            pool.rest()

    def _runs(self, key: Key) -> bool:
        app, revision = key
        return app in self._pools and self._pools[app].runs(revision)

    def _places(self, key: Key) -> bool:
        app, revision = key
        return app in self._pools and self._pools[app].app.revision == revision

    # PoolHost

    def give(self, app: PlacedApp, command: Command, *, urgent: bool = False) -> None:
        """See PoolHost."""
        if isinstance(command, Start):
            self._starts.ask((app.name, command.slot), partial(self._begin, app, command), urgent=urgent)
        else:
            self._link.send(command)

    def _begin(self, app: PlacedApp, start: Start) -> None:
        self._preloads.use((start.app, start.revision), app.directory, partial(self._send_start, start))

    def _send_start(self, start: Start, preloaded: bool) -> None:
        self._link.send(msgspec.structs.replace(start, preloaded=preloaded, place=self._place(start.app)))

    def close_slot(self, app: PlacedApp, slot: int) -> None:
        """See PoolHost."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._socket(app.name, slot))

    def changed(self, pool: AppPool) -> None:
        """See PoolHost."""
        for listener in self.listeners:
            listener(pool.app.name, pool.ready_slots, pool.is_failing)

    def namespaces(self, app: str) -> frozenset[str]:
        """The key-value namespaces the app has bindings for."""
        pool = self._pools.get(app) or self._parting.get(app)
        return frozenset(pool.app.kv.values()) if pool is not None else frozenset()

    def remote(self, app: str) -> frozenset[tuple[str, str]]:
        """Its bindings that another node answers: see PlacedApp."""
        pool = self._pools.get(app) or self._parting.get(app)
        return pool.app.remote if pool is not None else frozenset()

    def sockets(self, app: PlacedApp) -> list[str]:
        """Where the app's workers are reached, one path for each slot."""
        return [self._socket(app.name, slot) for slot in range(app.workers)]

    def _place(self, app: str) -> str:
        place = self._place_of.get(app)
        if place is None:
            key = self._credentials.derived_key(f"place {app}")
            place = self._place_of[app] = urlsafe_b64encode(key).decode()[:PLACE_CHARACTERS]
        return place

    def _socket(self, app: str, slot: int) -> str:
        # One byte is left for the "~" of the socket before it is renamed.
        return check_socket_path(self._run_dir / f"{worker_socket(self._place(app), slot)}~")[:-1]

    def inline(self, app: str, gateway: int) -> tuple[str, bytes] | None:
        """The revision of an app that a gateway is to run in its own process, and how; None where it is not to."""
        pool = self._pools.get(app)
        if pool is None or not pool.app.inline:
            return None
        return pool.app.revision, self.spec(pool.app, INLINE_SLOT + gateway)

    def inline_lines(self, app: str, gateway: int, text: str) -> None:
        """A gateway passes on what an app wrote that it runs."""
        if app in self._pools:
            self.log(app, INLINE_SLOT + gateway, text)

    def spec(self, app: PlacedApp, slot: int) -> bytes:
        """See PoolHost."""
        most = self._limits[FUNCTION_INFLIGHT]
        return _encode(
            WorkerSpec(
                app=app.name,
                directory=app.directory,
                main=app.main,
                vars=dict(app.vars),
                kv=dict(app.kv),
                memory_bytes=app.memory_bytes,
                inflight=min(app.bounds.concurrency or most, most),
                background=self._limits[FUNCTION_BACKGROUND],
                frame_bytes=self._limits[FUNCTION_BODY_BYTES] + FRAME_OVERHEAD_BYTES,
                binding_wait_ms=self._limits[BINDING_WAIT_MS],
                binding_bytes=binding_frame_bytes(self._limits),
                bindings_socket=str(self._run_dir / BINDINGS),
                credential=self._credentials.issue(app.name, slot),
                egress=self._egress.worker(app.name, slot),
                egress_socket=str(self._run_dir / EGRESS),
                node=self.node,
                bounds=app.bounds,
                streams=stream_terms(self._limits, app.bounds.request_bytes),
                secrets=dict(app.secrets),
                assets=app.assets,
                bindings=worker_bindings(app),
                shows_errors=self.shows_errors,
                revision=app.deployed,
                inference=self.inference.worker(app, slot),
                inference_socket=str(self._run_dir / INFERENCE),
            )
        )

    def _environment_spec(self, app: str, directory: str, skipped: frozenset[str]) -> bytes:
        placed = self._pools[app].app
        return _encode(
            WorkerSpec(
                app=app,
                directory=directory,
                main=placed.main,
                vars=dict.fromkeys(skipped, ""),
                kv={},
                memory_bytes=self._limits[FUNCTION_ENVIRONMENT_BYTES] + placed.memory_bytes,
                inflight=0,
                background=0,
                frame_bytes=0,
                binding_wait_ms=0,
                binding_bytes=0,
                bindings_socket="",
                credential="",
                bounds=placed.bounds,
            )
        )

    def _event(self, event: WorkerEvent) -> None:
        if event.kind == "log":
            self.log(event.app, event.slot, event.detail)
            return
        if event.kind == "known":
            self._take_over(event)
            return
        if event.slot == PRELOAD:
            self._preloads.event(event)
            return
        if event.kind == "started" or not event.pid:
            self._preloads.forked((event.app, event.revision))
        if event.kind in ("ready", "exited"):
            self._starts.ended((event.app, event.slot))
        if (pool := self._pools.get(event.app) or self._parting.get(event.app)) is not None:
            pool.event(event)
            if self._forget_parted(event.app):
                self.left()
        elif event.kind == "started":
            # Ordered for an app that has been taken away since.
            self._link.send(Kill(event.pid))

    def _take_over(self, event: WorkerEvent) -> None:
        if event.pid == 0:
            self._known = True
            self._unconfined = event.detail
            for pool in self._pools.values():
                pool.update(pool.app)
            gone = [app for app in list(self._parting) if self._forget_parted(app)]
            if gone:
                self.left()
            return
        adopter = self._pools.get(event.app) or self._parting.get(event.app)
        wanted = False
        if event.slot == PRELOAD:
            wanted = event.app in self._pools and event.detail == "ready"
            if wanted:
                self._preloads.adopt((event.app, event.revision), event.pid)
        elif event.detail in ("ready", "draining"):
            self._take_over_worker(adopter or self._stranger(event), event)
            wanted = True
        if not wanted:
            self._link.send(Kill(event.pid))

    def _take_over_worker(self, pool: AppPool, event: WorkerEvent) -> None:
        """One that serves, or did. What it has begun it may finish in any case."""
        if event.detail == "draining":
            pool.adopt_leaving(event.revision, event.pid)
        elif not pool.adopt(event.slot, event.revision, event.pid):
            if event.slot not in pool.ready_slots:
                self.close_slot(pool.app, event.slot)
            pool.dismiss(event.revision, event.pid)

    def _stranger(self, event: WorkerEvent) -> AppPool:
        """For a worker of an app that was taken away before this hub began: nothing is known of the app but its name. Its code stays;
        what it had bindings for, and where it might send requests, went with its document."""
        pool = self._parting[event.app] = AppPool(PlacedApp(event.app, event.revision, "", ""), self._limits, self)
        pool.part()
        return pool

    def _lost(self) -> None:
        self._known = False
        self._forget()

    def _forget(self) -> None:
        self._starts.clear()
        self._preloads.forget()
        for pool in (*self._pools.values(), *self._parting.values()):
            pool.forget()
