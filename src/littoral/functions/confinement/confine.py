"""What a forked worker gives up before it runs an app's code.

The zygote makes one `Confinement`, which finds out what there is; each forked child calls `Confinement.enter` and has nothing left
of the node but what is named here. In this order, since each step takes away what the one before needed:

    step                                    process, root   process, other   sandbox
    --------------------------------------  --------------  ---------------  -------------------------------------------
    a file system of its own (view)         yes             no               where the node runs as root
    no network, IPC or host name            no              no               with the view
    limits of resources                     yes             yes              yes
    a user of its own, no capabilities      yes             no               with the view
    only the files it needs (Landlock)      if there        if there         needed without the view, from version 6 on
    refused calls of the kernel (seccomp)   if there        if there         needed; no sockets but Unix sockets

`process` goes on without what the kernel does not have, and `Means.missing` says so in the app's status. `sandbox` refuses.
"""

import fcntl
import os
import resource
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

import littoral
from littoral.functions.confinement import kernel, landlock, seccomp, view
from littoral.functions.messages import WorkerSpec
from littoral.functions.places import PLATFORM, WORKERS, make_platform_directory

HIGH_DESCRIPTOR = 64
ENVIRONMENT_VARIABLES = 5
NICE = 20
"""RLIMIT_NICE that allows the usual priority, and none above it."""
ENVIRONMENT_PROCESSES = 64
"""That an environment may have forked and not handed over yet, with the workers that it has."""
TEMPORARY = "tmp"
"""Below the node's `run` directory: where each app without a file system of its own has a directory for temporary files."""
_GONE = "~"
"""After the name of such a directory: it is being removed."""
_NAMES = ("hosts", "resolv.conf", "nsswitch.conf", "host.conf", "gai.conf", "services", "protocols")
_OTHERS = ("ssl", "pki", "ca-certificates", "localtime", "timezone", "mime.types", "ld.so.cache")
_SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    # Resolving names, TLS, time zones, shared libraries.
    *(f"/etc/{name}" for name in (*_NAMES, *_OTHERS)),
    # How many processors there are.
    "/sys/devices/system/cpu",
)
_OWN = ("status", "stat", "statm", "maps", "fd", "cgroup", "cmdline", "comm", "limits")
# Not all of it: /proc/self/net tells the paths of all sockets.
_PROCESS = (*(f"/proc/self/{name}" for name in _OWN), "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/loadavg")


class CannotConfine(Exception):
    """The isolation that the app asks for is not to be had here."""


class Means(NamedTuple):
    """What the kernel, and the user that the node runs as, offer for confining workers."""

    has_view: bool
    """Users and file systems of their own."""
    why_no_view: str
    landlock: int
    """Its version; 0 where there is none."""
    seccomp: bool

    @property
    def missing(self) -> str:
        """What `process` lacks, for people; empty where it lacks nothing."""
        parts = []
        if not self.has_view:
            parts.append(f"a user and a file system of its own ({self.why_no_view})")
        if not self.has_view and not self.landlock:
            parts.append("Landlock, so that it can read whatever the node can (the kernel has none)")
        if not self.seccomp:
            parts.append("seccomp, so that it can start programs (the kernel has none, or this machine is not known)")
        return "; ".join(parts)

    def check_sandbox(self) -> None:
        """Raises CannotConfine where a sandbox would lack something."""
        lacks = "" if self.seccomp else "seccomp"
        if not lacks and not self.has_view and self.landlock < landlock.SCOPES_SINCE:
            lacks = f"Landlock of version {landlock.SCOPES_SINCE} or later (Linux 6.12), and does not run as root"
        if lacks:
            raise CannotConfine(
                f"isolation `sandbox` is not available at this node, which lacks {lacks}: place the app on nodes that have it, "
                "or trust it with `process`"
            )


class Confinement:
    """Confines workers by the means of this node. Made by a zygote, before it forks any."""

    def __init__(self, run_dir: Path) -> None:
        """run_dir: the node's directory of sockets. Raises OSError where it cannot be written."""
        self._run_dir = run_dir
        self._readable = readable_paths()
        self._view: int | None = None
        """The view that all workers have copies of, or this process's own copy."""
        self._has_copy = False
        why_no_view = "the node does not run as root"
        (run_dir / WORKERS).mkdir(mode=0o700, exist_ok=True)
        make_platform_directory(run_dir / PLATFORM)
        if os.geteuid() == 0:
            try:
                prepared = view.prepare(self._readable, str(run_dir / PLATFORM), str(run_dir / WORKERS))
                self._view = moved_high(prepared)
            except OSError as error:
                why_no_view = f"the kernel refuses: {error.strerror}"
        if self._view is not None:
            # So that no worker has to do it.
            _set_environment(view.TEMPORARY)
        self.means = Means(self._view is not None, why_no_view, landlock.version(), seccomp.is_offered())
        # What the workers of a former zygote, which ended with it, have left.
        shutil.rmtree(run_dir / TEMPORARY, ignore_errors=True)

    @property
    def gives_users(self) -> bool:
        """Whether workers get users of their own."""
        return self._view is not None

    @property
    def bears_environments(self) -> bool:
        """Whether what a confined process forks can be confined as its siblings are. Landlock's rules name the files in /proc of the
        process that makes them, and go over to what that forks."""
        return self.gives_users or not self.means.landlock

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a child keeps open until it enters; high ones."""
        return () if self._view is None else (self._view,)

    def prepare(self, spec: WorkerSpec) -> None:
        """In a child that is to `enter` some time: do what needs no app, and go once through what is left that needs no spec of one. Only
        bounds that are lower in `spec` than they are now are lowered. Raises OSError."""
        if self._view is not None:
            self._copy_view()
            spec = self._within_view(spec)
        _limit_resources(spec, os.getuid() if self._has_copy else None)
        if self.means.seccomp:
            seccomp.prepare_own(shared=not self._has_copy)
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            seccomp.refuse_rings()

    def enter(self, spec: WorkerSpec, user: int | None, *, forks: bool = False) -> WorkerSpec:
        """Confine this process, a forked child that holds no descriptor but standard input and output and pipes for reports.

        user: its own user and group, where `gives_users`. forks: as an environment, whose children `enter_again`. Returns the spec with
        the paths as they are from now on. Raises: CannotConfine, OSError.
        """
        parent = os.getppid()
        if forks:
            # Whatever it forks stays in this group, by which the zygote ends it (littoral.functions.zygote.zygote_environments).
            os.setpgid(0, 0)
        bounds = spec.bounds
        if bounds.isolation == "sandbox":
            self.means.check_sandbox()
        if self._view is not None and user is not None:
            copy = self._copy_view()
            view.enter(copy, spec.directory, bounds.temporary_bytes, alone=bounds.isolation == "sandbox")
            os.close(copy)
            spec = self._within_view(spec)
            temporary = view.TEMPORARY
        else:
            temporary = self._make_temporary(spec.app)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        _limit_resources(spec, user, processes=ENVIRONMENT_PROCESSES if forks else 0)
        _become(user)
        # A change of the user takes the first away.
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        if os.getppid() != parent:
            raise CannotConfine("its zygote is gone")
        os.umask(0o077)
        os.chdir(spec.directory)
        _set_environment(temporary)
        if self._view is not None:
            # Of files it sees those only that it may read.
            landlock.scope()
        elif self.means.landlock:
            landlock.restrict(self._readable_by(spec), [temporary, *view.DEVICES])
        self._filter(spec, forks=forks)
        return spec

    def enter_again(self, spec: WorkerSpec) -> WorkerSpec:
        """The rest, in a child of an environment that has entered: it is where its app belongs already. Raises OSError."""
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        if self._view is not None:
            spec = self._within_view(spec)
        _limit_resources(spec, os.getuid() if self._view is not None else None)
        self._filter(spec)
        return spec

    def _copy_view(self) -> int:
        """The descriptor of this process's own copy."""
        assert self._view is not None
        if not self._has_copy:
            below_temporary = [path for path in self._readable if Path(path).is_relative_to(view.TEMPORARY)]
            made = view.copy(self._view, below_temporary)
            os.close(self._view)
            self._view, self._has_copy = moved_high(made), True
        return self._view

    def _filter(self, spec: WorkerSpec, *, forks: bool = False) -> None:
        if self.means.seccomp:
            families = seccomp.UNIX_ONLY if spec.bounds.isolation == "sandbox" else seccomp.INTERNET
            seccomp.apply(families, forks=forks, shared=self._view is None)

    def leave(self, app: str) -> None:
        """In the zygote: remove what an app of which nothing runs any more has left behind."""
        directory = self._run_dir / TEMPORARY / app
        if self._view is None and directory.exists():
            # The app's next worker makes it anew, and may do so at once.
            aside = directory.with_name(f"{app}{_GONE}")
            directory.rename(aside)
            _remove(aside)

    def _within_view(self, spec: WorkerSpec) -> WorkerSpec:
        """With the paths at which the view has what the spec names."""
        outside = f"{self._run_dir / PLATFORM}/"
        moved = {
            name: f"{view.PLATFORM}/{value.removeprefix(outside)}"
            for name, value in msgspec.structs.asdict(spec).items()
            if isinstance(value, str) and value.startswith(outside)
        }
        return msgspec.structs.replace(spec, **moved, directory=view.CODE)

    def _readable_by(self, spec: WorkerSpec) -> list[str]:
        return [*self._readable, *_PROCESS, spec.directory, str(self._run_dir / PLATFORM)]

    def _make_temporary(self, app: str) -> str:
        directory = self._run_dir / TEMPORARY / app
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(directory)


def readable_paths() -> list[str]:
    """Files and directories that any app needs: the system's libraries, and Python with what is installed for it."""
    installed = {sys.prefix, sys.base_prefix, str(Path(littoral.__file__).parents[1])}
    installed.update(path for path in sys.path if os.path.isdir(path))
    found: list[str] = []
    for path in sorted({*_SYSTEM, *(os.path.realpath(each) for each in installed)}):
        # What is below another comes with it.
        if not any(Path(path).is_relative_to(above) for above in found):
            found.append(path)
    return found


def die_with_parent(parent: int) -> bool:
    """Be killed when the parent dies. False if it is gone already."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


class Inherited(NamedTuple):
    """Descriptors of a worker, beside the standard ones."""

    ready: int
    """It says there whether it can serve."""
    listener: int
    """It serves there."""


OF_WORKER = Inherited(3, 4)
"""The numbers that they have in a worker."""


def take_descriptors(output: int, given: Inherited, kept: Iterable[int] = ()) -> Inherited:
    """Standard input from nowhere, output and errors to `output`, and every other descriptor closed but those that are returned, and
    `kept`, which are high ones.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    # All are moved out of the way first: each may sit where another has to go.
    put_descriptors(nothing, *(moved_high(each) for each in (output, *given)))
    first = max(OF_WORKER) + 1
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return OF_WORKER


def exchange_descriptors(output: int, given: Inherited) -> Inherited:
    """As `take_descriptors`, in a process that has taken others in their place before. What else it has stays open."""
    put_descriptors(0, output, *given)
    for descriptor in (output, *given):
        os.close(descriptor)
    return OF_WORKER


def put_descriptors(nothing: int, output: int, ready: int, listener: int) -> None:
    """Give each the number that it has in a worker, which it did not have before."""
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(ready, OF_WORKER.ready, inheritable=False)
    os.dup2(listener, OF_WORKER.listener, inheritable=False)


def moved_high(descriptor: int) -> int:
    """The same, out of the way of the descriptors that a worker takes."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR)
    os.close(descriptor)
    return high


def data_bytes() -> int:
    """Private writable memory mapped by this process, which is what RLIMIT_DATA counts, and its stack."""
    with open("/proc/self/statm", "rb") as pages:
        return int(pages.read().split()[5]) * resource.getpagesize()


def _limit_resources(spec: WorkerSpec, user: int | None, processes: int = 0) -> None:
    """Bound what this process may take; the hard limits too. processes: that it may have beside its threads."""
    bounds = spec.bounds
    limits = {
        # Beyond what is mapped now, which is shared with the zygote.
        resource.RLIMIT_DATA: data_bytes() + spec.memory_bytes,
        resource.RLIMIT_STACK: seccomp.STACK_BYTES,
        resource.RLIMIT_NOFILE: bounds.open_files,
        resource.RLIMIT_FSIZE: bounds.temporary_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        # It may lower its priority for a while (littoral.functions.worker.alarm), if this process may allow that.
        **({resource.RLIMIT_NICE: NICE} if user is not None else {}),
    }
    if user is not None:
        # The kernel counts them by user: all threads of the app's workers together.
        limits[resource.RLIMIT_NPROC] = bounds.threads + processes
    for kind, most in limits.items():
        allowed = resource.getrlimit(kind)[1]
        bound = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(kind, (bound, bound))


def _become(user: int | None) -> None:
    """Be another user, or at least nobody with capabilities: nothing is started that could get them back."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        # This takes all capabilities away.
        os.setresuid(user, user, user)
    else:
        kernel.drop_capabilities()


def _set_environment(temporary: str) -> None:
    if os.environ.get("TMPDIR") == temporary and len(os.environ) == ENVIRONMENT_VARIABLES:
        return
    os.environ.clear()
    os.environ.update(
        {
            "HOME": temporary,
            "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": temporary,
        }
    )


def _remove(directory: Path) -> None:
    """Remove a directory that may hold very much, in a process of its own: whoever calls has others to see to."""
    pid = os.fork()
    if pid == 0:
        # A grandchild, which nobody has to wait for.
        if os.fork() == 0:
            shutil.rmtree(directory, ignore_errors=True)
        os._exit(0)
    os.waitpid(pid, 0)
