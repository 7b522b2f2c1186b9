"""The relay that plays a WAN: delay, bandwidth, cuts and half-open connections between a child and its parent.

    child ──► listen port ──► (handshake, delay, bandwidth) ──► target port ──► parent

    state       open connections                        new connections
    up          forwarded                               made, one round trip later
    refuse      reset                                   refused
    blackhole   half open: nothing passes, no end is    accepted, and nothing ever comes
                told

After `restore`, connections that were half open are reset: what was sent into them is lost. A link is steered by
calling it, in the process that owns it; nothing about it travels over the link.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from littoral.core.clock import Clock
from littoral.core.errors import StartupError
from littoral.core.limits import LINK_CONNECTIONS, Limits
from littoral.core.tasks import Tasks
from littoral.drivers.link_connection import Cut, End, Pipe, relay
from littoral.drivers.link_line import Line

CutMode = Literal["refuse", "blackhole"]
LinkState = Literal["up", "refuse", "blackhole"]
BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Target:
    """One port that the link leads to."""

    name: str
    """What it is for: "peer", "join"."""
    host: str
    port: int
    listen_port: int = 0
    """Where the child connects to; 0 takes a free port, which `WanLink.port` then tells."""


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """A link at one moment."""

    state: LinkState
    connections: int
    delay_ms: float
    """One way."""
    bytes_per_s: int | None
    """Limit of each direction."""
    bytes_up: int
    """What the child has sent into the link."""
    bytes_down: int
    """What the parent has."""


class _Gate:
    """One listening port. A second socket holds the port while nobody listens, so that it stays ours."""

    def __init__(self, target: Target, listen_host: str) -> None:
        self.target = target
        self._holder = _bound(listen_host, target.listen_port)
        self._host = listen_host
        self.port: int = self._holder.getsockname()[1]
        self._server: asyncio.Server | None = None

    async def open(self, connected: Callable[[Target, End], None]) -> None:
        if self._server is None:
            listener = _bound(self._host, self.port)
            self._server = await asyncio.start_server(
                lambda reader, writer: connected(self.target, End(reader, writer)), sock=listener, backlog=BACKLOG
            )

    def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def release(self) -> None:
        self.shut()
        self._holder.close()


class WanLink:
    """The WAN of one node: one or more relayed ports that are delayed, limited, cut and restored as one."""

    def __init__(
        self,
        name: str,
        targets: Sequence[Target],
        clock: Clock,
        limits: Limits,
        failed: Callable[[BaseException], None],
        listen_host: str = "127.0.0.1",
    ) -> None:
        """Takes the ports; nobody is let in before `start`. `failed` hears of faults of the relay itself.

        Raises: StartupError for a port that is in use.
        """
        self.name = name
        self._clock = clock
        self._limits = limits
        self._gates = [_Gate(target, listen_host) for target in targets]
        self._tasks = Tasks(failed)
        self._up = Line(clock)
        self._down = Line(clock)
        self._state: LinkState = "up"
        self._cut = Cut()
        self._open: set[asyncio.Task[None]] = set()

    def port(self, target: str) -> int:
        """The port that leads to the target of this name."""
        return next(gate.port for gate in self._gates if gate.target.name == target)

    async def start(self) -> None:
        """Let connections in."""
        for gate in self._gates:
            await gate.open(self._connected)

    async def stop(self) -> None:
        """Reset all connections and give the ports back."""
        for gate in self._gates:
            gate.release()
        await self._tasks.stop()

    def delay(self, one_way_ms: float) -> None:
        """From now on, every byte takes so long in each direction."""
        assert one_way_ms >= 0, one_way_ms
        self._up.delay_s = self._down.delay_s = one_way_ms / 1000

    def bandwidth(self, bytes_per_s: int | None) -> None:
        """From now on, each direction carries so much for all connections together; None does not limit."""
        assert bytes_per_s is None or bytes_per_s > 0, bytes_per_s
        self._up.bytes_per_s = self._down.bytes_per_s = bytes_per_s

    async def cut(self, mode: CutMode = "refuse") -> None:
        """Stop everything, in one of the ways of the table on top. A cut link may be cut in the other way."""
        self._state = mode
        self._cut.silent = mode == "blackhole"
        if mode == "blackhole":
            await self.start()
            return
        for gate in self._gates:
            gate.shut()
        await self._reset_all()

    async def restore(self) -> None:
        """Back to normal. Connections of the time before are reset; new ones are made."""
        if self._state == "up":
            return
        await self._reset_all()
        self._state = "up"
        self._cut.silent = False
        await self.start()

    def statistics(self) -> LinkStatistics:
        """How it is now, and what it has carried."""
        return LinkStatistics(
            self._state,
            len(self._open),
            self._up.delay_s * 1000,
            self._up.bytes_per_s,
            self._up.bytes_sent,
            self._down.bytes_sent,
        )

    def _connected(self, target: Target, near: End) -> None:
        if len(self._open) >= self._limits[LINK_CONNECTIONS]:
            self._limits.hit(LINK_CONNECTIONS)
            near.reset()
            return
        task = self._tasks.start(self._carry(target, near), name=f"link {self.name} {target.name}")
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _carry(self, target: Target, near: End) -> None:
        """One connection, from the first byte to the last."""
        ends = [near]
        whole = False
        try:
            await asyncio.sleep(self._up.delay_s + self._down.delay_s)  # what the handshake takes
            if self._cut.silent:
                await _swallow(near)
                return
            far = End(*await asyncio.open_connection(target.host, target.port))
            ends.append(far)
            up = Pipe(near, far, self._up, self._cut, self._clock, self._limits)
            down = Pipe(far, near, self._down, self._cut, self._clock, self._limits)
            await relay(up, down)
            whole = True
        except* OSError:
            pass  # An end broke, or the target does not listen: the reset below tells the other.
        finally:
            for end in ends:
                if whole:
                    end.writer.close()
                else:
                    end.reset()

    async def _reset_all(self) -> None:
        open_now = list(self._open)
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)


async def _swallow(near: End) -> None:
    """Read and forget, until the child gives up."""
    while await near.reader.read(65_536):
        pass


def _bound(host: str, port: int) -> socket.socket:
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.setblocking(False)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
    except OSError as error:
        held.close()
        raise StartupError(
            "open link on", f"{host}:{port}", error.strerror or str(error), "Choose another port, or end who holds it"
        ) from error
    return held
