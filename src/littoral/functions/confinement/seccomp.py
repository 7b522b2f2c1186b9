"""What a worker may not ask of the kernel: a seccomp filter, which nothing that it runs can take off again.

The filter names what is refused, as those of bubblewrap's users do, and not what is allowed: Python's packages make most calls that
there are. Calls younger than this file are refused as if the kernel did not have them.

    refused                                        because
    ---------------------------------------------  -----------------------------------------------------------------------
    fork, vfork, clone but for a thread, exec      an app is one process: what it starts would outlive its limits
    signals to anybody but itself                  without a user of its own it could end the node's processes
    leaving its process group, or making one       what an app forked is ended by its group
    ptrace and its relatives                       they read other processes
    shared anonymous memory, memfd, System V IPC,  RLIMIT_DATA does not count them
    memory that grows downwards, moving the stack
    mounts, namespaces, keys, bpf, perf,           doors to the kernel that no handler of requests needs, and through
    io_uring, userfaultfd, modules, clocks, ...    which most of its flaws were used
    sockets of other families than named           AF_INET and AF_INET6 are for `process` only

and of a process that shares its user with the node:

    modes, owners, times, attributes of files      Landlock does not know of them. Answered as if they were done, for whoever
                                                   copies a file sets its mode and times
    truncate, and open that truncates what it      Landlock knows of them from its third version on
    reads
    another process's priority and scheduling      they are the node's

Calls are refused with EPERM, which is PermissionError in Python; clone3 and openat2, whose flags a filter cannot see, with
ENOSYS, for which the C library falls back to clone and openat.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterable
from functools import cache

from littoral.functions.confinement import kernel

UNIX_ONLY = (socket.AF_UNIX,)
INTERNET = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)

_MODE_FILTER = 2
_CLONE_THREAD = 0x10000
_SHARED_ANONYMOUS = 0x21
"""MAP_SHARED | MAP_ANONYMOUS of mmap."""
_GROWS_DOWN = 0x100
"""MAP_GROWSDOWN of mmap: counted as a stack."""
STACK_BYTES = 8 << 20
"""The most that a stack may take (RLIMIT_STACK): what grows there, nothing else counts."""
_TRUNCATES, _TRUNCATES_OR_WRITES = 0o1000, 0o1003
"""O_TRUNC of open, and that with O_ACCMODE."""

# Both machines' numbers of a call: x86-64, and those that aarch64 has in common with all younger ones. None: it lacks the call.
_Numbers = tuple[int | None, int | None]
_REFUSED: dict[str, _Numbers] = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount_setattr": (442, 442),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "fanotify_init": (300, 262),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "acct": (163, 89),
    "syslog": (103, 116),
    "personality": (135, 92),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "setsid": (112, 157),
    "setpgid": (109, 154),
}
_LEFT_UNDONE: dict[str, _Numbers] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
}
"""Answered as if they were done."""
_TRUNCATE: _Numbers = (76, 45)
_OPENAT2: _Numbers = (437, 437)
_OPENS: tuple[tuple[_Numbers, int], ...] = (((2, None), 1), ((257, 56), 2))
"""open and openat, and which argument their flags are."""
_SCHEDULING: tuple[_Numbers, ...] = ((142, 118), (144, 119), (203, 122), (314, 274))
"""sched_setparam, sched_setscheduler, sched_setaffinity and sched_setattr: their first argument is a process, 0 this one."""
_PRIORITIES: tuple[tuple[_Numbers, int], ...] = (((141, 140), 0), ((251, 30), 1))
"""setpriority and ioprio_set, and what their first argument is where the second is a process; 0 for this one."""
_FORKS = frozenset({"fork", "vfork"})
_CLONE: _Numbers = (56, 220)
_CLONE3: _Numbers = (435, 435)
_SOCKET: _Numbers = (41, 198)
_MMAP: _Numbers = (9, 222)
_MREMAP: _Numbers = (25, 216)
_KILL_CALLS: tuple[_Numbers, ...] = ((62, 129), (234, 131))
"""kill and tgkill: their first argument is a process. Not 0 either: the workers are of one process group."""
_PRLIMIT: _Numbers = (302, 261)
"""prlimit64: 0 is the process itself."""
_YOUNGEST = 451
"""cachestat, of Linux 6.5; the same number on both machines."""
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the numbers above, and what the kernel calls the machine (AUDIT_ARCH_*)."""
_Filter = tuple["ctypes.Array[ctypes.c_char]", "ctypes.Array[ctypes.c_char]"]
"""As the kernel takes it (struct sock_fprog), and the memory that it points to."""

_LOAD, _EQUAL, _GREATER, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x54, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
UNKNOWN = 0x7EDCBA98
"""No process has so high a number, and no other value of a filter is like it."""
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


def is_known(machine: str = kernel.MACHINE) -> bool:
    """Whether this file has the numbers of the machine's calls."""
    return machine in _MACHINES


def is_offered() -> bool:
    """Whether the kernel takes filters, and this file has some for the machine."""
    try:
        # Answers 0 for a process without a filter, and EINVAL where the kernel has none.
        kernel.prctl(kernel.PR_GET_SECCOMP, 0)
    except OSError:
        return False
    return is_known()


@cache
def _lowest_of_stack() -> int:
    """Where this process's first thread may have its stack, and nothing else is; the same in what it forks."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as areas:
        ends = [int(area.split()[0].partition("-")[2], 16) for area in areas if area.endswith("[stack]\n")]
    return max(ends) - STACK_BYTES


@cache
def _template(families: tuple[int, ...], *, forks: bool, shared: bool) -> bytes:
    """The filter of whatever process: with UNKNOWN for its number. Worked out once, for all that are forked from here."""
    return program(UNKNOWN, families, forks=forks, shared=shared)


def prepare() -> None:
    """Work out what `apply` needs."""
    for families in (UNIX_ONLY, INTERNET):
        for shared in (False, True):
            _template(families, forks=False, shared=shared)


def program(
    pid: int, families: Iterable[int], machine: str = kernel.MACHINE, *, forks: bool = False, shared: bool = False
) -> bytes:
    """The filter of the process `pid`, as instructions of the classic BPF.

    families: of sockets it may open. forks: it may fork, and signal what it forked. shared: its user is the node's too.
    """
    column, architecture = _MACHINES[machine]
    code = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
        _step(_GREATER, _YOUNGEST, 0, 1),
        _refuse(errno.ENOSYS),
    ]
    code += _on(_CLONE3[column], [_refuse(errno.ENOSYS)])
    for name, numbers in _REFUSED.items():
        if not (forks and name in _FORKS):
            code += _on(numbers[column], [_refuse()])
    if not forks:
        thread = [_argument(0), _step(_ANY_BIT, _CLONE_THREAD, 1, 0), _refuse(), _step(_RETURN, _ALLOW)]
        code += _on(_CLONE[column], thread)
        for numbers in _KILL_CALLS:
            code += _on(numbers[column], [_argument(0), *_unless_one_of((pid,)), _step(_RETURN, _ALLOW)])
    if shared:
        code += _of_a_shared_user(pid, column)
    code += _on(_PRLIMIT[column], [_argument(0), *_unless_one_of((pid, 0)), _step(_RETURN, _ALLOW)])
    code += _on(_SOCKET[column], [_argument(0), *_unless_one_of(tuple(families)), _step(_RETURN, _ALLOW)])
    downwards = [_argument(3), _step(_ANY_BIT, _GROWS_DOWN, 0, 1), _refuse()]
    anonymous = [_step(_AND, _SHARED_ANONYMOUS), _step(_EQUAL, _SHARED_ANONYMOUS, 0, 1), _refuse()]
    code += _on(_MREMAP[column], _if_below(_lowest_of_stack()))
    code += _on(_MMAP[column], [*downwards, *anonymous, _step(_RETURN, _ALLOW)])
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _of_a_shared_user(pid: int, column: int) -> list[bytes]:
    """What user and Landlock do not keep it from."""
    code = _on(_OPENAT2[column], [_refuse(errno.ENOSYS)]) + _on(_TRUNCATE[column], [_refuse()])
    for numbers in _LEFT_UNDONE.values():
        code += _on(numbers[column], [_refuse(0)])
    for numbers, flags in _OPENS:
        reads = [_argument(flags), _step(_AND, _TRUNCATES_OR_WRITES), _step(_EQUAL, _TRUNCATES, 0, 1), _refuse()]
        code += _on(numbers[column], [*reads, _step(_RETURN, _ALLOW)])
    itself = [*_unless_one_of((pid, 0)), _step(_RETURN, _ALLOW)]
    for numbers in _SCHEDULING:
        code += _on(numbers[column], [_argument(0), *itself])
    for numbers, process in _PRIORITIES:
        kind = [_argument(0), _step(_EQUAL, process, 1, 0), _refuse()]
        code += _on(numbers[column], [*kind, _argument(1), *itself])
    return code


@cache
def _filter_of(pid: int, families: tuple[int, ...], *, forks: bool, shared: bool) -> _Filter:
    numbers = (struct.pack("=I", UNKNOWN), struct.pack("=I", pid))
    return _held(_template(families, forks=forks, shared=shared).replace(*numbers))


def _held(instructions: bytes) -> _Filter:
    held = ctypes.create_string_buffer(instructions, len(instructions))
    # With the padding before its pointer.
    head = ctypes.create_string_buffer(struct.pack("@HP", len(instructions) // 8, ctypes.addressof(held)))
    return head, held


def _filter(filter_: _Filter) -> None:
    kernel.prctl(kernel.PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(filter_[0]))


def prepare_own(*, shared: bool) -> None:
    """Work out what this process needs for `apply`."""
    for families in (UNIX_ONLY, INTERNET):
        _filter_of(os.getpid(), families, forks=False, shared=shared)


def refuse_rings() -> None:
    """Refuse io_uring to this process from now on: an event loop that is made before `apply` is to do without as well. Raises OSError."""
    column, architecture = _MACHINES[kernel.MACHINE]
    code = [_step(_LOAD, _ARCHITECTURE_AT), _step(_EQUAL, architecture, 1, 0), _step(_RETURN, _KILL)]
    code += [_step(_LOAD, _NUMBER_AT), *_on(_REFUSED["io_uring_setup"][column], [_refuse()]), _step(_RETURN, _ALLOW)]
    _filter(_held(b"".join(code)))


def apply(families: tuple[int, ...], *, forks: bool = False, shared: bool = False) -> None:
    """Filter the calls of this process and of whatever it starts; see `program`. Raises OSError."""
    _filter(_filter_of(os.getpid(), families, forks=forks, shared=shared))


def _status_of(process: int | str) -> dict[str, str]:
    with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)


def is_confined(pid: int) -> bool:
    """Whether a process has more filters than this one: then it is an app's, and not of the platform. One that is gone counts
    as confined."""
    try:
        return int(_status_of(pid)["Seccomp_filters"]) > int(_status_of("self")["Seccomp_filters"])
    except FileNotFoundError:
        return True
    except KeyError:
        # A kernel without filters, or older than 5.9, which does not count them.
        return False


def _step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """struct sock_filter."""
    return struct.pack("=HBBI", operation, if_true, if_false, value & 0xFFFFFFFF)


def _refuse(error: int = errno.EPERM) -> bytes:
    return _step(_RETURN, _ERRNO | error)


def _argument(number: int) -> bytes:
    """Its lower half, on a little-endian machine."""
    return _step(_LOAD, _ARGUMENTS_AT + 8 * number)


def _if_below(address: int) -> list[bytes]:
    """Allow where the first argument is below, or else refuse."""
    high, low = address >> 32, address & 0xFFFFFFFF
    of_high = [_step(_LOAD, _ARGUMENTS_AT + 4), _step(_GREATER, high, 3, 0), _step(_EQUAL, high, 0, 3)]
    return [*of_high, _argument(0), _step(_AT_LEAST, low, 0, 1), _refuse(), _step(_RETURN, _ALLOW)]


def _on(number: int | None, then: list[bytes]) -> list[bytes]:
    """`then`, which does not return to what follows, for one call."""
    return [] if number is None else [_step(_EQUAL, number, 0, len(then)), *then]


def _unless_one_of(values: tuple[int, ...]) -> list[bytes]:
    """Refuse where what was loaded is none of these."""
    tests = [_step(_EQUAL, value, len(values) - at, 0) for at, value in enumerate(values)]
    return [*tests, _refuse()]
