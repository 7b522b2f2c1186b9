"""What a process can know of itself, and what ties it to its parent."""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES


def proportional_bytes(pid: int) -> int | None:
    """What a process takes of memory, with its share of what it has in common with others; None where that may not be known, or
    the process is gone. Takes about a millisecond."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            found = next(line for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return None
    return int(found.split()[1]) * 1024


def raise_open_files() -> int:
    """Let this process, and those it starts, have as many files and connections open as the system allows; returns how
    many that are. What a shell allows at first is a tenth of a small fleet."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def die_with_parent(parent: int) -> bool:
    """Be killed when the process `parent` ends. False if it has ended already."""
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl: {os.strerror(error)}")
    return os.getppid() == parent


def ask_supervisor_to_reload() -> None:
    """Of the process that started this one, which is one that takes SIGHUP so (littoral.node.supervisor)."""
    os.kill(os.getppid(), signal.SIGHUP)


def ask_supervisor_for_inference() -> None:
    """To start the process that runs models, unless it runs; as above."""
    os.kill(os.getppid(), signal.SIGUSR1)


def leave(status: int) -> NoReturn:
    """End the process at once, with its output flushed. For processes that used `drivers.transport`: threads of the HTTP
    client may still let go of Python objects, and abort the process if the interpreter is taken down meanwhile.
    Everything that needs an orderly end must have ended.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)
