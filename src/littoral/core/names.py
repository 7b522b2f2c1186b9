"""Names of nodes and streams: what is allowed, and the one place that checks it."""

import re
from typing import NamedTuple

from littoral.core.errors import InvalidInput

NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A DNS label (RFC 1123): a node's name is also a name in its certificate."""

STREAM_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]{0,99}")
STREAM_PARTS_MOST = 8

SYSTEM_STREAMS = (
    "readings",
    "desired",
    "status",
    "dead-letters",
    "kv",
    "kv-down",
    "inbox",
    "outbox",
    "former",
    "quarantine",
    "purges",
    "queues",
    "mqtt",
    "mqtt-tree",
)
"""First parts of the paths of streams that Littoral writes itself, and whose records it relies on."""


class StreamName(NamedTuple):
    """A stream's identity in the whole tree: the node whose history it belongs to, and its path there."""

    origin: str
    path: str

    def __str__(self) -> str:
        return f"{self.origin}/{self.path}"


def check_node_name(name: str) -> str:
    """Return `name`, or raise InvalidInput."""
    if not NODE_NAME.fullmatch(name):
        raise InvalidInput(
            "use node name",
            repr(name[:80]),
            "a node's name is 1 to 63 characters of a-z, 0-9 and '-', and neither begins nor ends with '-'",
        )
    return name


def check_stream_path(path: str) -> str:
    """Return `path`, or raise InvalidInput."""
    parts = path.split("/")
    if len(parts) > STREAM_PARTS_MOST or not all(STREAM_PART.fullmatch(part) for part in parts):
        raise InvalidInput(
            "use stream name",
            repr(path[:120]),
            f"it has 1 to {STREAM_PARTS_MOST} parts between '/', each of A-Z, a-z, 0-9, '.', '_', '~', '-', "
            "at most 100 characters, beginning with a letter, a digit or '_'",
        )
    return path


def parse_stream_name(text: str) -> StreamName:
    """Read "origin/path". Raises InvalidInput."""
    origin, slash, path = text.partition("/")
    if not slash:
        raise InvalidInput(
            "use stream name", repr(text[:120]), "it names no node", "Write NODE/STREAM, for example plant-a/windows"
        )
    return StreamName(check_node_name(origin), check_stream_path(path))
