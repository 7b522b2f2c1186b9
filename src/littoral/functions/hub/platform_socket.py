"""Sockets at which the platform serves workers."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from littoral.functions.places import SOCKET_MODE, make_platform_directory


async def serve_workers(path: str, make: Callable[[], asyncio.Protocol]) -> asyncio.AbstractServer:
    """Listen at a path (`littoral.functions.places`), in the place of a process that is no more. make: of each connection. Raises
    OSError."""
    make_platform_directory(Path(path).parent)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    server = await asyncio.get_running_loop().create_unix_server(make, path)
    os.chmod(path, SOCKET_MODE)
    return server
