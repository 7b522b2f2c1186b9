"""The hub's side of functions: which apps are placed here, and their pools."""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from littoral.core.limits import (
    BINDING_WAIT_MS,
    CONTROL_FRAME_BYTES,
    FUNCTION_BACKGROUND,
    FUNCTION_BODY_BYTES,
    FUNCTION_INFLIGHT,
    Limits,
)
from littoral.functions.apps import PlacedApp
from littoral.functions.bindings import Credentials, binding_frame_bytes
from littoral.functions.connection import check_socket_path
from littoral.functions.messages import FRAME_OVERHEAD_BYTES, Kill, WorkerEvent, WorkerSpec
from littoral.functions.pool import AppPool
from littoral.functions.zygote_link import ZygoteLink

_encode = msgspec.msgpack.Encoder().encode


class FunctionRuntime:
    """Keeps the placed apps' workers running, through a zygote that the supervisor keeps running."""

    def __init__(
        self, run_dir: Path, limits: Limits, credentials: Credentials, failed: Callable[[BaseException], None]
    ) -> None:
        """run_dir: the node's directory of sockets, absolute; the zygote listens there at zygote.sock.

        failed: receives errors that are faults of ours.
        """
        self._run_dir = run_dir
        self._limits = limits
        self._credentials = credentials
        self._pools: dict[str, AppPool] = {}
        self._known = False
        """Whether the zygote has told which workers there are; nothing is started before."""
        self._link = ZygoteLink(run_dir / "zygote.sock", self._event, self._lost, failed, limits[CONTROL_FRAME_BYTES])

    @property
    def pools(self) -> dict[str, AppPool]:
        """The pools by app: `ready`, `pids` and `counters` are for status and metrics."""
        return self._pools

    def start(self) -> None:
        """Connect to the zygote, now and whenever it is lost."""
        os.makedirs(self._run_dir / "fn", mode=0o700, exist_ok=True)
        self._link.start()

    async def stop(self) -> None:
        """Let go of the zygote; its workers go on, and the next hub takes them over."""
        for pool in self._pools.values():
            pool.forget()
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
            self._pools.pop(name).stop()
        for name, app in wanted.items():
            pool = self._pools.get(name)
            if pool is None:
                pool = self._pools[name] = AppPool(app, self._limits, self._link.send, self._spec)
            if self._known:
                pool.update(app)
            else:
                pool.app = app

    def kill(self, app: str, pid: int) -> None:
        """A gateway waited in vain for this worker."""
        if (pool := self._pools.get(app)) is not None:
            pool.kill(pid, "timeout")

    def namespaces(self, app: str) -> frozenset[str]:
        """The key-value namespaces the app has bindings for."""
        pool = self._pools.get(app)
        return frozenset(pool.app.kv.values()) if pool is not None else frozenset()

    def sockets(self, app: PlacedApp) -> list[str]:
        """Where the app's workers are reached, one path for each slot."""
        return [self._socket(app.name, slot) for slot in range(app.workers)]

    def _socket(self, app: str, slot: int) -> str:
        # One byte is left for the "~" of the socket before it is renamed.
        return check_socket_path(self._run_dir / "fn" / f"{app}-{slot}.sock~")[:-1]

    def _spec(self, app: PlacedApp, slot: int) -> bytes:
        return _encode(
            WorkerSpec(
                app=app.name,
                directory=app.directory,
                main=app.main,
                vars=dict(app.vars),
                kv=dict(app.kv),
                memory_bytes=app.memory_bytes,
                inflight=self._limits[FUNCTION_INFLIGHT],
                background=self._limits[FUNCTION_BACKGROUND],
                frame_bytes=self._limits[FUNCTION_BODY_BYTES] + FRAME_OVERHEAD_BYTES,
                binding_wait_ms=self._limits[BINDING_WAIT_MS],
                binding_bytes=binding_frame_bytes(self._limits),
                socket=self._socket(app.name, slot),
                bindings_socket=str(self._run_dir / "bindings.sock"),
                credential=self._credentials.issue(app.name, slot),
            )
        )

    def _event(self, event: WorkerEvent) -> None:
        if event.kind == "known":
            self._take_over(event)
        elif (pool := self._pools.get(event.app)) is not None:
            pool.event(event)
        elif event.kind == "started":
            # Ordered for an app that has been taken away since.
            self._link.send(Kill(event.pid))

    def _take_over(self, event: WorkerEvent) -> None:
        if event.pid == 0:
            self._known = True
            for pool in self._pools.values():
                pool.update(pool.app)
            return
        adopter = self._pools.get(event.app)
        wanted = False
        if adopter is not None and event.detail == "ready":
            wanted = adopter.adopt(event.slot, event.revision, event.pid)
        elif adopter is not None and event.detail == "draining":
            wanted = adopter.adopt_leaving(event.slot, event.revision, event.pid)
        if not wanted:
            self._link.send(Kill(event.pid))

    def _lost(self) -> None:
        self._known = False
        for pool in self._pools.values():
            pool.forget()
