"""Users of the machine for apps, each with a number of its own while any of its workers runs."""

import contextlib
import os
import signal
import zlib
from collections import deque

RANGE = 10_000
"""Numbers of one node."""
NODES = 10_000
"""Ranges: several nodes of one machine, each with a run directory of its own, are unlikely to have the same."""
ROUNDS = 20
"""So often it is looked for what a former zygote's apps have left: who is about to fork may do so once more before it ends."""


class AppUsers:
    """Who runs as whom. The numbers are user and group at once; no account is made for them."""

    def __init__(self, first: int, run_dir: str) -> None:
        """first: of all nodes' numbers."""
        self._first = first + RANGE * (zlib.crc32(run_dir.encode()) % NODES)
        self._numbers: dict[str, int] = {}
        self._workers: dict[str, int] = {}
        self._free: deque[int] = deque()

    def take(self, app: str) -> int:
        """The user of one more worker of this app. Raises OverflowError where every number is taken."""
        number = self._numbers.get(app)
        if number is None:
            given = len(self._numbers) + len(self._free)
            if not self._free and given >= RANGE:
                raise OverflowError(f"all {RANGE} users for apps are taken")
            # One that had an app comes last, and the kernel counts no dead process for it any more.
            number = self._first + given if given < RANGE else self._free.popleft()
            self._numbers[app] = number
        self._workers[app] = self._workers.get(app, 0) + 1
        return number

    def leave(self, app: str) -> None:
        """One worker of this app ended."""
        self._workers[app] -= 1
        if not self._workers[app]:
            del self._workers[app]
            # Nothing of the app's runs: its number may be another's.
            self._free.append(self._numbers.pop(app))

    def end_former(self) -> None:
        """End what runs as any of them, before there is an app: what the apps of a former zygote, which ended, have forked."""
        numbers = range(self._first, self._first + RANGE)
        for _ in range(ROUNDS):
            left = [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _user_of(pid) in numbers]
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not left:
                return


def _user_of(pid: int) -> int:
    """Whose a process is; -1 for one that has ended."""
    try:
        with open(f"/proc/{pid}/status", "rb") as status:
            fields = dict(line.split(b":", 1) for line in status if line.startswith((b"State:", b"Uid:")))
    except (FileNotFoundError, ProcessLookupError):
        return -1
    return -1 if fields[b"State"].split()[0] in (b"Z", b"X") else int(fields[b"Uid"].split()[0])
