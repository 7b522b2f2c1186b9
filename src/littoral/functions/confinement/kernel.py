"""Calls of the Linux kernel that Python's library does not have, by way of the C library. For one process that confines itself."""

import ctypes
import mmap
import os
import platform
import struct

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_GET_SECCOMP = 21
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

_CAPABILITIES_VERSION = 0x20080522

MACHINE = platform.machine()

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def prctl(option: int, first: int, second: int = 0) -> int:
    """The call prctl of the kernel. Raises OSError."""
    return _checked(_libc.prctl(option, first, second, 0, 0), f"prctl({option})")


def syscall(name: str, number: int, *arguments: int | bytes) -> int:
    """The call syscall of the kernel. for calls the C library has no function for; bytes are passed by their address. Raises OSError."""
    held = [ctypes.create_string_buffer(each, len(each) + 1) if isinstance(each, bytes) else each for each in arguments]
    given = [ctypes.c_long(each if isinstance(each, int) else ctypes.addressof(each)) for each in held]
    return _checked(_libc.syscall(ctypes.c_long(number), *given), name)


def give_back_zeros(address: int, size: int) -> None:
    """Give pages of this process's own memory that hold nothing but zeros back to the kernel: they read as before, and take memory once they
    are written to again. Raises OSError."""
    page = mmap.PAGESIZE
    for start in range(-(-address // page) * page, (address + size) // page * page, page):
        if ctypes.string_at(start, page).count(0) == page:
            _checked(_libc.madvise(start, page, mmap.MADV_DONTNEED), "madvise")


def drop_capabilities() -> None:
    """Have none: effective, permitted or inheritable. Raises OSError."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITIES_VERSION, 0), 8)
    _checked(_libc.capset(header, ctypes.create_string_buffer(24)), "capset")


def unshare(flags: int) -> None:
    """The call unshare of the kernel. Raises OSError."""
    _checked(_libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """The call setns of the kernel. Raises OSError."""
    _checked(_libc.setns(descriptor, kind), "setns")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """The call mount of the kernel. Raises OSError."""
    given = (None if text is None else os.fsencode(text) for text in (source, target, kind))
    _checked(_libc.mount(*given, flags, data.encode()), f"mount {kind or source or ''} at {target}")


def umount(target: str, flags: int) -> None:
    """The call umount2 of the kernel. Raises OSError."""
    _checked(_libc.umount2(os.fsencode(target), flags), f"unmount {target}")


def pivot_root(new: str, old: str) -> None:
    """The call pivot_root of the kernel. Raises OSError."""
    _checked(_libc.pivot_root(os.fsencode(new), os.fsencode(old)), "pivot_root")
