"""The zygote's end of its connection to the hub: orders come in, reports go out.

One hub at a time is connected; when another connects, the former is dropped. A worker's spec comes as a descriptor, which is passed on.
"""

import os
import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from littoral.functions.confinement.seccomp import is_confined
from littoral.functions.connection import peer_pid
from littoral.functions.messages import Command, Preload, Start
from littoral.wire.frames import FrameReader, FrameTooLarge, frame

READ_BYTES = 65_536
"""So much is read of commands at once."""
DESCRIPTORS = 1
"""With one read: the kernel gives those of one command at a time."""
LOG_UNSENT_BYTES = 1 << 18
"""More than that waits for the hub: what workers write must not have it dropped."""
UNSENT_BYTES = 1 << 20
"""A hub that does not read its reports is dropped; it learns of all workers when it connects again."""


_decode_command = msgspec.msgpack.Decoder(Command).decode


class HubConnection:
    """To whichever hub connected last, if one did."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listener: socket.socket,
        command_bytes: int,
        obey: Callable[[Command, int], None],
        known: Callable[[], Iterable[bytes]],
    ) -> None:
        """command_bytes: the longest command accepted. obey: takes over the descriptor that came with a command; -1 for none. known: what
        a hub is told first."""
        self._selector = selector
        self._listener = listener
        self._command_bytes = command_bytes
        self._obey = obey
        self._known = known
        self._hub: socket.socket | None = None
        self._reader = FrameReader(command_bytes)
        self._unsent = b""
        self._specs: deque[int] = deque()
        """Descriptors whose commands have not come whole yet."""
        selector.register(listener, selectors.EVENT_READ, self._accept)

    @property
    def takes_logs(self) -> bool:
        """Whether it may be sent what workers write."""
        return self._hub is not None and len(self._unsent) < LOG_UNSENT_BYTES

    def send(self, body: bytes) -> None:
        """A report; dropped if there is no hub."""
        if self._hub is not None:
            self._unsent += frame(body)
            self._flush()

    def _flush(self) -> None:
        if self._hub is None:
            return
        try:
            sent = self._hub.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop_hub()
            return
        self._unsent = self._unsent[sent:]
        if len(self._unsent) > UNSENT_BYTES:
            self._drop_hub()
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        self._selector.modify(self._hub, wanted, self._talk)

    def _accept(self, events: int) -> None:
        connection, _ = self._listener.accept()
        if is_confined(peer_pid(connection)):
            # A worker without a file system of its own finds this socket, and is not to give orders here.
            connection.close()
            return
        connection.setblocking(False)
        self._drop_hub()
        self._hub = connection
        self._reader = FrameReader(self._command_bytes)
        self._selector.register(connection, selectors.EVENT_READ, self._talk)
        for report in self._known():
            self.send(report)

    def _spec_of(self, command: Command) -> int:
        """The descriptor that came with it; -1 where none is needed. Raises msgspec.ValidationError."""
        if not isinstance(command, Start | Preload):
            return -1
        if not self._specs:
            raise msgspec.ValidationError("there is no descriptor with it")
        return self._specs.popleft()

    def _drop_hub(self) -> None:
        if self._hub is not None:
            self._selector.unregister(self._hub)
            self._hub.close()
            self._hub = None
            self._unsent = b""
            while self._specs:
                os.close(self._specs.popleft())

    def _talk(self, events: int) -> None:
        assert self._hub is not None
        if events & selectors.EVENT_WRITE:
            self._flush()
        if not events & selectors.EVENT_READ or self._hub is None:
            return
        try:
            data, specs, _, _ = socket.recv_fds(self._hub, READ_BYTES, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
            self._specs += specs
            for body in self._reader.feed(data):
                command = _decode_command(body)
                self._obey(command, self._spec_of(command))
        except (OSError, FrameTooLarge, msgspec.ValidationError, msgspec.DecodeError):
            data = b""
        if not data:
            self._drop_hub()
