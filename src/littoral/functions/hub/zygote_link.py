"""The hub's connection to the zygote: commands out, events in, connected again whenever it breaks."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from littoral.core.tasks import Tasks
from littoral.functions.connection import FrameConnection
from littoral.functions.hub.command_sender import CommandSender
from littoral.functions.messages import PRELOAD, Command, Preload, Start, WorkerEvent

FIRST_RETRY_S, LAST_RETRY_S = 0.01, 0.5

_encode = msgspec.msgpack.Encoder().encode
_decode_event = msgspec.msgpack.Decoder(WorkerEvent).decode


class ZygoteLink:
    """Keeps a connection to the zygote's socket. The supervisor keeps the zygote alive."""

    def __init__(
        self,
        path: Path,
        on_event: Callable[[WorkerEvent], None],
        on_lost: Callable[[], None],
        failed: Callable[[BaseException], None],
        frame_bytes: int,
    ) -> None:
        """frame_bytes: the longest event accepted. on_lost: the zygote is gone or does not answer; after connecting again it tells which workers there are."""
        self.frame_bytes = frame_bytes
        self._path = path
        self._on_event = on_event
        self._on_lost = on_lost
        self._tasks = Tasks(failed)
        self._connection: _ZygoteConnection | None = None

    @property
    def connected(self) -> bool:
        """Whether commands can be given now."""
        return self._connection is not None

    def start(self) -> None:
        """Begin to connect."""
        self._tasks.start(self._connect(), "connect to zygote")

    async def stop(self) -> None:
        """Close."""
        await self._tasks.stop()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def send(self, command: Command) -> None:
        """Give a command; dropped while not connected, since `known` events then tell what there is."""
        if self._connection is None:
            return
        if not isinstance(command, Start | Preload):
            self._connection.command(_encode(command))
            return
        try:
            self._connection.command(_encode(msgspec.structs.replace(command, spec=b"")), command.spec)
        except OSError as error:
            slot = command.slot if isinstance(command, Start) else PRELOAD
            failed = WorkerEvent("exited", command.app, slot, command.revision, 0, f"cannot be ordered: {error}")
            # Who gives commands does not expect to be told of it meanwhile.
            asyncio.get_running_loop().call_soon(self._on_event, failed)

    def event(self, event: WorkerEvent) -> None:
        """The zygote reports."""
        self._on_event(event)

    def opened(self, connection: "_ZygoteConnection") -> None:
        """Connected; the zygote's first events may already be on their way."""
        self._connection = connection

    def lost(self, connection: "_ZygoteConnection") -> None:
        """The connection broke."""
        if self._connection is connection:
            self._connection = None
            self._on_lost()
            self.start()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        delay_s = FIRST_RETRY_S
        while True:
            try:
                await loop.create_unix_connection(lambda: _ZygoteConnection(self), str(self._path))
            except OSError:
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, LAST_RETRY_S)
                continue
            return


class _ZygoteConnection(FrameConnection):
    def __init__(self, link: ZygoteLink) -> None:
        super().__init__(link.frame_bytes)
        self._link = link
        self._commands: CommandSender | None = None

    def command(self, body: bytes, held: bytes = b"") -> None:
        """Send a command. held: what goes with it as a descriptor. Raises OSError."""
        if self._commands is not None:
            self._commands.send(body, held)

    def opened(self) -> None:
        assert self.transport is not None
        self._commands = CommandSender(self.transport.get_extra_info("socket").fileno(), self.loop)
        self._link.opened(self)

    def received(self, body: bytes) -> None:
        self._link.event(_decode_event(body))

    def lost(self) -> None:
        if self._commands is not None:
            self._commands.close()
            self._commands = None
        self._link.lost(self)
