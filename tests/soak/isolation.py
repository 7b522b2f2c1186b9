"""A network and mounts of the run's own: packets are lost and disks fill up there only, and all is gone with the run."""

import os
import subprocess
import sys
from typing import NoReturn

ISOLATED_VARIABLE = "LITTORAL_SOAK_ISOLATED"
NOT_ISOLATED = "no network and mounts of the run's own: `unshare` and `ip` are not allowed to make them, or not there"
_WAYS = (
    ["unshare", "--net", "--mount", "--propagation", "private"],
    ["unshare", "--map-root-user", "--net", "--mount", "--propagation", "private"],
)
"""As root, and as anybody else where the kernel allows it."""
_SET_UP = "ip link set lo up && mount -t tmpfs tmpfs /dev/shm"
"""libfaketime leaves segments of shared memory behind when its process is killed."""


def is_isolated() -> bool:
    return ISOLATED_VARIABLE in os.environ


def isolate() -> None:
    """Start this program again in namespaces of its own. Returns where it runs in them already, or cannot."""
    if is_isolated():
        return
    for way in _WAYS:
        if run([*way, "sh", "-c", _SET_UP]) is None:
            _again([*way, "sh", "-c", f'{_SET_UP} && exec "$@"', "sh"])


def run(command: list[str], stdin: str | None = None) -> str | None:
    """None if it succeeded, else why not, in a line."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"there is no `{command[0]}`"
    if done.returncode == 0:
        return None
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[0] if said else f"`{' '.join(command)}` ended with {done.returncode}"


def _again(way: list[str]) -> NoReturn:
    environment = {**os.environ, ISOLATED_VARIABLE: "1"}
    os.execvpe(way[0], [*way, sys.executable, "-m", "tests.soak", *sys.argv[1:]], environment)
