"""What a connection needs of whatever carries its bytes. Real: `littoral.drivers.mqtt`."""

from collections.abc import Callable
from typing import Protocol

from littoral.iot.outbox import Outbox


class Channel(Protocol):
    """The way back to one client."""

    def wake(self, outbox: Outbox) -> None:
        """The outbox holds something: take all of it and send it before the loop waits again, once the client can be written to.
        What is added until then is not told."""
        ...

    def pause(self) -> None:
        """Read no more until `resume`."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...

    def close(self, outbox: Outbox) -> None:
        """Send what the outbox holds, then close."""
        ...


class CallbackChannel:
    """A channel in memory: hands over every byte at once. For tests and simulated devices."""

    def __init__(self, output: Callable[[bytes], None]) -> None:
        self._output = output
        self.paused = False
        self.closed = False

    def wake(self, outbox: Outbox) -> None:
        self._output(outbox.take())

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self, outbox: Outbox) -> None:
        if outbox.bytes:
            self._output(outbox.take())
        self.closed = True
