"""Who may do what with which streams, for clients that are not operators.

    read     GET, HEAD            append   POST            manage   PUT, DELETE

Nobody may anything unless an entry says so. What several entries give adds up.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from littoral.core.errors import Forbidden, LittoralError, Unauthenticated
from littoral.core.names import StreamName
from littoral.core.patterns import matches
from littoral.core.resources.model import ANYONE, StreamAccess

Right = Literal["read", "append", "manage"]

RIGHTS: dict[str, Right] = {"GET": "read", "HEAD": "read", "POST": "append", "PUT": "manage", "DELETE": "manage"}


class AccessList:
    """The entries of one node."""

    def __init__(self, entries: Sequence[StreamAccess]) -> None:
        self._entries = entries

    def allows(self, client: str | None, right: Right, name: StreamName) -> bool:
        """Whether a client, or somebody unknown (None), has a right to a stream."""
        return any(matches(entry.streams, name) for entry in self._giving(client, right))

    def covers(self, client: str | None, right: Right, reach: str) -> bool:
        """Whether a client has a right to all streams that `reach` can mean: a stream, or a beginning and "*". One entry
        has to give it: several that do so together are not looked for."""
        if not reach.endswith("*"):
            origin, _, path = reach.partition("/")
            return self.allows(client, right, StreamName(origin, path))
        return any(
            pattern.endswith("*") and reach[:-1].startswith(pattern[:-1])
            for entry in self._giving(client, right)
            for pattern in entry.streams
        )

    def check(self, client: str | None, method: str, name: StreamName) -> None:
        """Raise Unauthenticated or Forbidden unless the client may call `method`; whether there is such a stream is not
        told."""
        right = RIGHTS.get(method, "read")
        if self.allows(client, right, name):
            return
        remedy = f"Let it {right} the stream in spec.streams.access of the node"
        error: LittoralError
        if client is None:
            error = Unauthenticated(method, str(name), "no client was named, and not everybody may", remedy)
        else:
            error = Forbidden(method, str(name), f"client {client} may not {right} it", remedy)
        raise error

    def _giving(self, client: str | None, right: Right) -> Iterator[StreamAccess]:
        """The entries that give a client a right."""
        for entry in self._entries:
            who = getattr(entry, right)
            if ANYONE in who or (client is not None and client in who):
                yield entry
