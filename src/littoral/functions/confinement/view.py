"""A file system of its own for each worker: Python and its libraries, the app's code, a bounded /tmp, and nothing else.

For nodes that run as root. What all workers see alike is put together once, in a mount namespace that nobody lives in
(`prepare`); a process that is to be a worker makes a copy of it (`copy`), enters that and adds what is its own (`enter`). It is what
bubblewrap does, without starting a program anew: a worker is forked warm.

    /usr, Python, ...       read-only, as on the node: what is needed to run Python, and to resolve names
    /dev, /proc             null, full, random and urandom; of processes, the worker's own
    /run/littoral/code      the revision, read-only
    /run/littoral/platform  where the platform serves them
    /tmp                    in memory, bounded
"""

import os
import signal
import stat
import traceback
from collections.abc import Iterable
from typing import NoReturn

from littoral.functions.confinement import kernel

CODE = "/run/littoral/code"
PLATFORM = "/run/littoral/platform"
TEMPORARY = "/tmp"  # noqa: S108 - within a file system of the worker's own
TEMPORARY_FILES = 10_000
"""Inodes of /tmp: empty files take memory as well."""
ROOT_BYTES = 1 << 20
DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
"""Not zero: what is mapped of it and shared is memory that no limit counts."""
DIRECTORY_MODE, FILE_MODE, OPEN_TO_OTHERS = 0o755, 0o644, 0o005

_NEW_MOUNTS, _NEW_NETWORK, _NEW_IPC, _NEW_NAMES = 0x00020000, 0x40000000, 0x08000000, 0x04000000
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_EXEC, _REMOUNT = 1, 2, 4, 8, 32
_BIND, _RECURSIVE, _PRIVATE = 1 << 12, 1 << 14, 1 << 18
_OF_TEMPORARY = _NO_SETUID | _NO_DEVICES | _NO_EXEC
_DETACH = 2
_OPEN_TREE, _MOVE_MOUNT = 428, 429
"""Numbers of the calls, the same on all machines."""
_HERE, _CLONE, _FROM_DESCRIPTOR = -100, 1, 4
_OWN_MOUNTS = "/proc/self/ns/mnt"


def prepare(readable: Iterable[str], platform: str, aside: str) -> int:
    """Put together what all workers see; its descriptor. Raises OSError where the kernel does not allow it.

    readable: files and directories. platform: the directory of the platform's sockets. aside: a directory that they do not see.
    """
    told, tell = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _prepare_in_child(parent, list(readable), platform, aside, tell)
    os.close(tell)
    try:
        said = os.read(told, 1024).decode()
        if said == "ready":
            return os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        number, _, text = said.partition(" ")
        raise OSError(int(number or 0), text)
    finally:
        os.close(told)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _prepare_in_child(parent: int, readable: list[str], platform: str, aside: str, tell: int) -> NoReturn:
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        _build(readable, platform, aside)
        os.write(tell, b"ready")
        while os.getppid() == parent:
            # The parent opens the namespace, and kills this process.
            signal.pause()
    except OSError as error:
        os.write(tell, f"{error.errno} {error.strerror}".encode())
    except BaseException:  # noqa: BLE001 - nothing may unwind into the zygote's loop
        traceback.print_exc()
    os._exit(1)


def _build(readable: list[str], platform: str, root: str) -> None:
    kernel.unshare(_NEW_MOUNTS)
    os.umask(0o022)
    # Nothing that is mounted here shows on the node.
    kernel.mount(None, "/", None, _RECURSIVE | _PRIVATE)
    sources = {path: _held(path) for path in (*readable, *DEVICES)}
    sources[PLATFORM] = _held(platform)
    kernel.mount("littoral", root, "tmpfs", _NO_SETUID, f"size={ROOT_BYTES},mode=755")
    for path, source in sources.items():
        _show(root + path, source)
    for path in (CODE, TEMPORARY, "/proc"):
        os.makedirs(root + path, mode=DIRECTORY_MODE, exist_ok=True)
    kernel.mount("proc", f"{root}/proc", "proc", _NO_SETUID | _NO_DEVICES | _NO_EXEC, "hidepid=invisible")
    os.chdir(root)
    kernel.pivot_root(".", ".")
    # The node's root lies over ours now.
    kernel.umount(".", _DETACH)
    os.chdir("/")
    kernel.mount(None, "/", None, _REMOUNT | _BIND | _READ_ONLY | _NO_SETUID | _NO_DEVICES)


def _held(path: str) -> int | str:
    """What is at a path: the target of a symbolic link to be made anew, or a descriptor; -1 for nothing."""
    if os.path.islink(path) and os.path.isdir(path):
        # /lib and the like, whose targets are shown as well.
        return os.readlink(path)
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return -1


def _show(target: str, source: int | str) -> None:
    if source == -1:
        return
    os.makedirs(os.path.dirname(target), mode=DIRECTORY_MODE, exist_ok=True)
    if isinstance(source, str):
        os.symlink(source, target)
        return
    is_device = stat.S_ISCHR(os.fstat(source).st_mode)
    if stat.S_ISDIR(os.fstat(source).st_mode):
        os.makedirs(target, mode=DIRECTORY_MODE, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, FILE_MODE))
    kernel.mount(f"/proc/self/fd/{source}", target, None, _BIND)
    kernel.mount(None, target, None, _REMOUNT | _BIND | _READ_ONLY | _NO_SETUID | (0 if is_device else _NO_DEVICES))
    os.close(source)


def copy(view: int, below_temporary: Iterable[str]) -> int:
    """The descriptor of a copy of the view, for one process to enter. Raises OSError.

    below_temporary: what the view shows there, which stays in sight: Python, or this program, may be installed in /tmp.
    """
    home = os.open(_OWN_MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
    kernel.setns(view, _NEW_MOUNTS)
    kernel.unshare(_NEW_MOUNTS)
    kept = [(path, _held(path)) for path in below_temporary]
    kernel.mount("tmp", TEMPORARY, "tmpfs", _OF_TEMPORARY, f"size={ROOT_BYTES},nr_inodes={TEMPORARY_FILES},mode=1777")
    former = os.umask(0o022)
    for path, source in kept:
        _show(path, source)
    os.umask(former)
    made = os.open(_OWN_MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
    kernel.setns(home, _NEW_MOUNTS)
    os.close(home)
    return made


def enter(made: int, code: str, temporary_bytes: int, *, alone: bool) -> None:
    """Let this process see a copy of the view, with the code of its app in it, and nothing else. Raises OSError.

    made: the copy, which nobody else enters. alone: without a network, and without the node's System V IPC and names.
    """
    open_to_all(code)
    tree = kernel.syscall("open_tree", _OPEN_TREE, _HERE, os.fsencode(code), _CLONE | os.O_CLOEXEC)
    kernel.setns(made, _NEW_MOUNTS)
    if alone:
        kernel.unshare(_NEW_NETWORK | _NEW_IPC | _NEW_NAMES)
    kernel.syscall("move_mount", _MOVE_MOUNT, tree, b"", _HERE, CODE.encode(), _FROM_DESCRIPTOR)
    os.close(tree)
    kernel.mount(None, CODE, None, _REMOUNT | _BIND | _READ_ONLY | _NO_SETUID | _NO_DEVICES)
    kernel.mount(None, TEMPORARY, None, _REMOUNT | _OF_TEMPORARY, f"size={temporary_bytes}")


def open_to_all(directory: str) -> None:
    """Let every user of the machine who gets to a revision's directory read what is in it: workers have users of their own, and
    nobody else gets past the node's directories above it. Raises OSError."""
    if os.stat(directory).st_mode & OPEN_TO_OTHERS == OPEN_TO_OTHERS:
        return
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            os.chmod(os.path.join(folder, name), FILE_MODE)
        # The topmost last: it says that all is done.
        os.chmod(folder, DIRECTORY_MODE)
