"""Sockets in the file system that are seen when whoever serves there is ready, in the place of a former one's in one step."""

import os
import socket
from pathlib import Path


def listen(path: str) -> socket.socket:
    """The socket at `path`, open to this user only, in the place of one that a former zygote left."""
    listener = bind_anew(aside(path))
    listener.listen()
    os.rename(aside(path), path)
    return listener


def bind_anew(path: str) -> socket.socket:
    """A socket at `path`, where nobody serves any more. Whoever is to serve there is to listen. Raises OSError."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
    except OSError:
        # There is no directory yet, or a socket that is left.
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        Path(path).unlink(missing_ok=True)
        bound.bind(path)
    return bound


def aside(path: str) -> str:
    """Where a socket is until it is ready."""
    return f"{path}~"
