"""Processes as the kernel lists them: a file of the node's own may be old where its disk takes no writes."""

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from littoral.node.local_tree import LocalTree

RUN_VARIABLE = "LITTORAL_SOAK_RUN"
"""In the environment of everything that a run starts, and of all that these start."""
MODULES = {
    "hub": "littoral.node.hub_process",
    "gateway": "littoral.node.gateway_process",
    "functions": "littoral.functions.zygote.zygote",
}


def supervisor(tree: LocalTree, node: str) -> int:
    return tree._processes[node].pid


def has_ended(tree: LocalTree, node: str) -> bool:
    """Whether the node's supervisor has."""
    return tree._processes[node].poll() is not None


def part(tree: LocalTree, node: str, name: str) -> int | None:
    """The process of a node that does this; None while there is none."""
    parents = _parents()
    for pid in (pid for pid, parent in parents.items() if parent == supervisor(tree, node)):
        if MODULES[name] in _read(pid, "cmdline").split("\0"):
            return pid
    return None


def family(pid: int) -> list[int]:
    """A process and all below it."""
    parents = _parents()
    found = [pid]
    for each in found:
        found.extend(child for child, parent in parents.items() if parent == each)
    return found


def marked(run: str) -> list[int]:
    """All processes of a run, but this one."""
    mark = f"{RUN_VARIABLE}={run}"
    return [pid for pid in _parents() if pid != os.getpid() and mark in _read(pid, "environ").split("\0")]


def command(pid: int) -> str:
    return _read(pid, "cmdline").replace("\0", " ").strip()


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _parents() -> dict[int, int]:
    """Process -> its parent, without those that ended and were not waited for."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            fields = _read(int(entry.name), "stat").rpartition(")")[2].split()
            if fields and fields[0] not in "ZX":
                parents[int(entry.name)] = int(fields[1])
    return parents


def _read(pid: int, file: str) -> str:
    """Of a process that may have ended meanwhile, or be another user's: empty then."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
