"""The relay of what workers write: to the node's log, and to the hub, which keeps the last lines."""

import contextlib
import os
import selectors

from littoral.functions.zygote.hub_connection import HubConnection
from littoral.functions.zygote.zygote_child import READ_BYTES, Child
from littoral.functions.zygote.zygote_clock import monotonic_s

SECOND_S = 1.0


class OutputRelay:
    """Of all workers of one zygote."""

    def __init__(self, selector: selectors.BaseSelector, hub: HubConnection) -> None:
        self._selector = selector
        self._hub = hub
        self._writers: set[Child] = set()
        """Workers that wrote something in this second."""
        self._second_ends_s = 0.0

    @property
    def due_s(self) -> float | None:
        """When the second ends; None if nobody wrote anything in it."""
        return self._second_ends_s if self._writers else None

    def listen_to(self, child: Child) -> None:
        """Relay what it writes from now on."""
        self._selector.register(child.output, selectors.EVENT_READ, lambda events: self._relay(child))

    def end_second(self) -> None:
        """Say what was left out, and read on where enough was read."""
        writers, self._writers = self._writers, set()
        for child in writers:
            if child.output >= 0 and child.log.has_enough:
                self.listen_to(child)
            self._pass_on(child, child.log.next_second())

    def _relay(self, child: Child) -> None:
        """Pass on what one read gives."""
        data = os.read(child.output, READ_BYTES)
        if not data:
            self._selector.unregister(child.output)
            os.close(child.output)
            child.output = -1
        self._pass_on(child, child.log.feed(data))
        if not self._writers:
            self._second_ends_s = monotonic_s() + SECOND_S
        self._writers.add(child)
        if data and child.log.has_enough:
            self._selector.unregister(child.output)

    def _pass_on(self, child: Child, lines: bytes) -> None:
        """To the node's log, and to the hub, which keeps the last ones. A hub that is behind goes without."""
        _log(lines)
        if lines and self._hub.takes_logs:
            prefix = f"{child.app}-{child.slot}: "
            said = lines.decode("utf-8", "replace").removesuffix("\n").split("\n")
            self._hub.send(child.event("log", "\n".join(line.removeprefix(prefix) for line in said)))


def _log(text: bytes) -> None:
    if text:
        with contextlib.suppress(OSError):
            # The supervisor may be gone; functions go on without a log until this process is told to end.
            os.write(2, text)
