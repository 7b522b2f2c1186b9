"""What a forked worker gives up before it runs an app's code. Called in the child only."""

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
OPEN_FILES = 1024
"""Sockets of all gateways and the app's own files; what the app's code opens beyond fails with EMFILE."""

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")


def die_with_parent(parent: int) -> bool:
    """Be killed when the parent dies. False if it is gone already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def take_descriptors(output: int, ready: int) -> int:
    """Standard input from nowhere, output and errors to `output`, and every other descriptor closed but `ready`.

    Returns `ready`'s new number.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    # Both ends are moved out of the way first: either may sit where the other has to go.
    high_output, high_ready = os.dup(output), os.dup(ready)
    os.dup2(nothing, 0)
    os.dup2(high_output, 1)
    os.dup2(high_output, 2)
    os.dup2(high_ready, 3, inheritable=False)
    os.closerange(4, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return 3


def _data_bytes() -> int:
    """Private writable memory mapped by this process (VmData), which is what RLIMIT_DATA counts."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmData")


def limit_resources(memory_bytes: int) -> None:
    """Bound memory (beyond what is mapped now), open files and core dumps; the hard limits too."""
    data = _data_bytes() + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def confine(directory: str, memory_bytes: int) -> None:
    """No new privileges, bounded resources, private files, an empty environment; at home in the revision."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    limit_resources(memory_bytes)
    os.umask(0o077)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update({"HOME": directory, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"})
