"""The alarm of a process that runs several apps beside its own work: it interrupts what computes past its bounds, as in a worker, and
says who has held up the process."""

import asyncio
import os
from collections.abc import Callable
from types import FrameType
from weakref import WeakSet

from littoral.core.function_limits import FUNCTION_HOLD_MS
from littoral.core.limits import Limits
from littoral.functions.inline.inline_output import current_output
from littoral.functions.worker.alarm import Alarm
from littoral.functions.worker.running import Running


class InlineAlarm(Alarm):
    """Of one process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Callable[[], Limits]) -> None:
        # What has a lower priority here is the gateway.
        super().__init__(loop, may_make_way=False)
        self._limits = limits
        self._shares: WeakSet[InlineShare] = WeakSet()
        self._told: Running | None = None

    def share(self) -> "InlineShare":
        """What one of the apps knows of it."""
        share = InlineShare(self)
        self._shares.add(share)
        return share

    def _ring(self, number: int, frame: FrameType | None) -> None:
        self._wanted = any(share.is_busy for share in self._shares)
        super()._ring(number, frame)

    def _looked(self, running: Running) -> None:
        limits = self._limits()
        held_ms = running.cpu.step_ns // 1_000_000
        if running is self._told or held_ms < limits[FUNCTION_HOLD_MS]:
            return
        self._told = running
        limits.hit(FUNCTION_HOLD_MS)
        output = current_output.get()
        request = running.request
        of = f"[{request.id}] " if request is not None else ""
        # In a signal's handler: whatever is being written just now is not disturbed.
        os.write(
            2,
            f"{output.name if output is not None else 'an app'}: {of}has computed for {held_ms} ms without a pause, "
            "and this gateway has answered nobody meanwhile (isolation: inline)\n".encode(),
        )


class InlineShare:
    """Implements `littoral.functions.worker.alarm.Rings` for one app."""

    def __init__(self, alarm: InlineAlarm) -> None:
        self._alarm = alarm
        self.is_busy = False

    def want(self) -> None:
        """See Rings."""
        self.is_busy = True
        self._alarm.want()

    def keep(self, busy: bool) -> None:
        """See Rings."""
        self.is_busy = busy
