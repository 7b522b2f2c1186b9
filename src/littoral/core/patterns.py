"""Which streams a node's document means: "NODE/PATH", where NODE may be "*" and a "*" at the end matches any rest."""

from collections.abc import Sequence

from littoral.core.names import StreamName


def matches(patterns: Sequence[str], name: StreamName) -> bool:
    """Whether one of the patterns means the stream."""
    return any(_matches(pattern, name) for pattern in patterns)


def _matches(pattern: str, name: StreamName) -> bool:
    origin, slash, path = pattern.partition("/")
    if not slash:
        return pattern == "*"
    if origin not in ("*", name.origin):
        return False
    return name.path.startswith(path[:-1]) if path.endswith("*") else name.path == path
