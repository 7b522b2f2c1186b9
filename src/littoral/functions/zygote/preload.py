"""An environment: a process that holds the packages of one app, imported, and from which the app's workers are forked.

The zygote forks it as it forks a worker: confined as the app's workers are, but for being allowed to fork. It imports packages and
never the app's own code, holds no credential and no variables, and answers one thing: fork. What it forks is handed to the zygote
(forked twice, so that the kernel makes it the zygote's child), which sees to it as to any other worker. So an environment may end
at any time, and its workers go on.

What its first worker has imported besides, it is told, and imports too.

An import that starts a thread makes forking unsafe, for a lock the thread holds would stay locked in the child: the environment
then ends, says which package that was, and the next one leaves it out.
"""

import array
import contextlib
import importlib
import os
import socket
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NoReturn

from littoral.core.garbage import keep_for_life
from littoral.functions.confinement import confine
from littoral.functions.messages import EXIT_IMPORT, WorkerSpec
from littoral.functions.worker.loader import PACKAGES
from littoral.workers import names

THREADS = "starts threads: "
"""What comes before the name of the package in such an environment's last words."""
STARTS_THREADS = frozenset(
    {
        "cv2",
        "grpc",
        "jax",
        "numpy",
        "onnxruntime",
        "pandas",
        "polars",
        "pyarrow",
        "scipy",
        "sklearn",
        "tensorflow",
        "torch",
    }
)
"""Known to do so: nobody has to find out."""
TOOLS = frozenset({"pip", "pkg_resources", "setuptools", "wheel"})
"""Nothing a function uses."""
LATER = {"anyio": "anyio._backends._asyncio", "fastapi": "fastapi.openapi.utils", "starlette": "starlette.responses"}
"""What packages import when they are first used."""
FORK, LOAD = b"fork", b"load"
"""What it is told: to fork, or to import the modules whose names follow, one on a line."""
MESSAGE_BYTES = 1 << 18
DESCRIPTORS = 4
"""With each order to fork: the worker's output, the pipe by which it says that it is ready, what it serves at, and its spec."""
FORKED, NOT_FORKED = b"+", b"-"
"""What is answered to an order to fork: the first by the new process itself, so that the kernel vouches for its number."""

Be = Callable[[int, int, int, confine.Inherited], NoReturn]
"""What a forked child becomes: the descriptor of its spec, the zygote, its output, and what else it inherits."""


def packages_of(directory: str) -> Iterator[str]:
    """What can be imported of a revision's packages, by name."""
    folder = Path(directory, PACKAGES)
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        name = entry.name.partition(".")[0]
        importable = entry.suffix in (".py", ".so") or (entry / "__init__.py").is_file()
        if importable and name.isidentifier() and not name.startswith("_"):
            yield name


def load(directory: str, main: str, skipped: frozenset[str]) -> str:
    """Import a revision's packages, but for those that the app has modules of its own for. Returns the name of the first that started a thread; empty if none did."""
    names.install()
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(Path(directory, PACKAGES)))
    own = {entry.partition(".")[0] for entry in os.listdir(Path(directory, main).parent)}
    for package in packages_of(directory):
        if package in STARTS_THREADS | TOOLS | skipped | own:
            continue
        for name in (package, LATER.get(package)):
            if name is not None:
                _import(name)
        if thread_count() > 1:
            return package
    return ""


def thread_count() -> int:
    """Threads of this process."""
    return len(os.listdir("/proc/self/task"))


def imported_since(known: Collection[str], directory: str) -> str:
    """A line for each module that this process has imported, but for those that were `known` before and the app's own. None where
    one of them may have started a thread."""
    if thread_count() > 1:
        return ""
    own = f"{directory}/"
    packages = f"{own}{PACKAGES}/"
    found = [""]
    for name, module in list(sys.modules.items()):
        if name not in known and name not in ("__main__", "__mp_main__"):
            origin = str(getattr(getattr(module, "__spec__", None), "origin", None) or "")
            if origin and (not origin.startswith(own) or origin.startswith(packages)):
                found.append(name)
    return "\n".join(found)[: MESSAGE_BYTES // 2]


def learn(names: str) -> None:
    """Import these too."""
    for name in names.splitlines():
        _import(name)
    keep_for_life()


def _import(name: str) -> None:
    # Whoever needs it says what is wrong with it.
    with contextlib.suppress(BaseException):
        importlib.import_module(name)


def serve(zygote: int, channel: socket.socket, be: Be) -> NoReturn:
    """Fork whenever that is ordered, until the zygote lets go of the channel."""
    while True:
        message, ancillary, _, _ = channel.recvmsg(
            MESSAGE_BYTES, socket.CMSG_SPACE(DESCRIPTORS * array.array("i").itemsize)
        )
        if not message:
            os._exit(0)
        if message.startswith(LOAD):
            learn(message.removeprefix(LOAD).decode())
            continue
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        # Checked here as well: a package may have started one since, from a callback.
        has_forked = thread_count() == 1 and _fork_for(zygote, list(descriptors), channel, be)
        for descriptor in descriptors:
            os.close(descriptor)
        if not has_forked:
            channel.send(NOT_FORKED)


def _fork_for(zygote: int, descriptors: list[int], channel: socket.socket, be: Be) -> bool:
    """Have a new process that is the zygote's child, and has answered by itself. False if there is none to be had."""
    told, tell = os.pipe()
    try:
        between = os.fork()
    except OSError:
        os.close(told)
        os.close(tell)
        return False
    if between == 0:
        _fork_again(zygote, descriptors, tell, channel, be)
    os.close(tell)
    os.waitpid(between, 0)
    # Orders are answered in turn: the next one waits for this answer.
    has_answered = bool(os.read(told, 1))
    os.close(told)
    return has_answered


def _fork_again(zygote: int, descriptors: list[int], tell: int, channel: socket.socket, be: Be) -> NoReturn:
    between = os.getpid()
    try:
        if os.fork():
            os._exit(0)
        while os.getppid() == between:
            os.sched_yield()
        channel.send(FORKED)
        os.write(tell, FORKED)
        output, ready, listener, spec = descriptors
        be(spec, zygote, output, confine.Inherited(ready, listener))
    finally:
        os._exit(1)


def be_environment(spec: WorkerSpec, channel: int, report: Callable[[str], None], *, be: Be) -> int:
    """What a confined child of the zygote does that is to be an environment. Returns its exit code, if it comes to an end."""
    zygote = os.getppid()
    if culprit := load(spec.directory, spec.main, frozenset(spec.vars)):
        report(THREADS + culprit)
        return EXIT_IMPORT
    keep_for_life()
    report("")
    serve(zygote, socket.socket(fileno=channel), be)
