"""Where the sockets of functions are, below the node's `run` directory, which only the node's user can enter.

What a worker may reach is in two directories, so that it can be given these and nothing else (`littoral.functions.confinement.view`). They are
given as directories: a socket that is bound anew, when the hub restarts, is another file.
"""

from pathlib import Path

PLATFORM = "srv"
"""Sockets at which the platform serves workers; each worker shows there by its credential which app it is."""
BINDINGS = f"{PLATFORM}/bindings"
EGRESS = f"{PLATFORM}/egress"
INFERENCE = f"{PLATFORM}/inference"
WORKERS = "fn"
"""A directory for each app, in which its workers serve, one socket for each slot. Its name cannot be guessed: an app without a file
system of its own could connect to the workers of others, if it knew where."""
PLACE_CHARACTERS = 10
"""Of six bits each. Few: the kernel bounds the path of a Unix socket, and the node's directory needs most of that."""

PLATFORM_MODE = 0o755
SOCKET_MODE = 0o666
"""Of the platform's sockets: workers have users of their own. Others do not get through `run`."""


def worker_socket(place: str, slot: int) -> str:
    """Where the worker in a slot serves. place: of its app."""
    return f"{WORKERS}/{place}/{slot}"


def make_platform_directory(directory: Path) -> None:
    """The directory of the platform's sockets, where it is not there yet. Raises OSError."""
    directory.mkdir(exist_ok=True)
    # Whatever the umask of this process is.
    directory.chmod(PLATFORM_MODE)
