"""Where a node keeps what, below its data directory; and what its processes tell each other through files."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from littoral.core.errors import StartupError
from littoral.core.resources import Node
from littoral.drivers.disk import storage_error

RUN = "run"
NODE_FILE = f"{RUN}/node.json"
API_FILE = f"{RUN}/api.json"
PIDS_FILE = f"{RUN}/pids.json"
LOCK_FILE = "lock"
CACHE = "cache"
"""What the gateways keep of HTTP answers on the disk (littoral.drivers.cache_place)."""
APPS = "apps"
"""Below it each revision of an app has a folder. Where the store is encrypted this is elsewhere: see `code_place`."""

EXIT_STARTUP = 3
"""A process of a node that ends so cannot start as configured: starting it again would not help."""
SHOW_ERRORS_VARIABLE = "LITTORAL_SHOW_ERRORS"
"""Set for the node of a developer: clients see the tracebacks of apps."""
JOIN_TOKEN_VARIABLE = "LITTORAL_JOIN_TOKEN"


def write_json(path: Path, value: object) -> None:
    """`value` as the content of a file of run/; see `write_file`."""
    write_file(path, msgspec.json.encode(value))


def write_file(path: Path, content: bytes) -> None:
    """Replace a file of run/ in one step. These are written anew at each start, so they need not survive a power cut.
    Raises StorageError."""
    aside = path.with_name(path.name + "~")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
        aside.rename(path)
    except OSError as error:
        raise storage_error("write", str(path), error) from error


def read_node_file(data_dir: Path) -> Node:
    """The node's document as the supervisor resolved it. Raises StartupError."""
    path = data_dir / NODE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Node)
    except (OSError, msgspec.DecodeError) as error:
        raise StartupError("read", str(path), str(error), "Start the node with `littoral node run`") from error


def read_addresses(data_dir: Path) -> Mapping[str, str]:
    """Listener -> "host:port" of a node that runs. Raises StartupError."""
    path = data_dir / API_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError) as error:
        raise StartupError("read", str(path), str(error), "Is the node running?") from error
