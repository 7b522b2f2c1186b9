"""Which files a process may touch, by Landlock (landlock(7)): a process without privileges restricts itself for good.

It restricts what is opened, not what is open. It knows nothing of connecting to a Unix socket that has a path; processes of the
platform refuse workers there (`littoral.functions.confinement.seccomp.is_confined`).
"""

import os
import stat
import struct
from collections.abc import Iterable
from functools import cache

from littoral.functions.confinement import kernel

SCOPES_SINCE = 6
"""From this version on, abstract Unix sockets and signals of processes outside are out of reach."""

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""Numbers of the calls, the same on all machines."""
_VERSION = 1
_PATH_BENEATH = 1
_SCOPED = 0b11

_EXECUTE, _WRITE, _READ, _READ_DIRECTORY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _DEVICE_CONTROL = 1 << 14, 1 << 15
_ALL_SINCE = {1: (1 << 13) - 1, 2: 1 << 13, 3: _TRUNCATE, 5: _DEVICE_CONTROL}
"""What a version restricts beyond what the one before it does."""
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _DEVICE_CONTROL
_FOR_READING = _READ | _READ_DIRECTORY


@cache
def version() -> int:
    """What the kernel offers; 0 for nothing."""
    try:
        return kernel.syscall("landlock_create_ruleset", _CREATE, 0, 0, _VERSION)
    except OSError:
        return 0


def scope() -> None:
    """Leave this process all files, and take from it abstract Unix sockets, signals and traces of processes outside; nothing where the
    kernel does not have that. Raises OSError."""
    if version() >= SCOPES_SINCE:
        attributes = struct.pack("=3Q", 0, 0, _SCOPED)
        ruleset = kernel.syscall("landlock_create_ruleset", _CREATE, attributes, len(attributes), 0)
        kernel.syscall("landlock_restrict_self", _RESTRICT, ruleset, 0)
        os.close(ruleset)


def restrict(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Leave this process only these files and directories, with all below them; what is not there is left out. Raises OSError.

    The process has given up new privileges before. What is writable is readable, too.
    """
    offered = version()
    handled = 0
    for since, rights in _ALL_SINCE.items():
        handled |= rights if offered >= since else 0
    fields = (handled, 0, _SCOPED) if offered >= SCOPES_SINCE else (handled,)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = kernel.syscall("landlock_create_ruleset", _CREATE, attributes, len(attributes), 0)
    try:
        for paths, rights in ((readable, _FOR_READING), (writable, handled & ~_EXECUTE & ~_DEVICE_CONTROL)):
            for path in paths:
                _allow(ruleset, path, rights)
        kernel.syscall("landlock_restrict_self", _RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        kernel.syscall("landlock_add_rule", _ADD, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)
