"""Who asks for something of subscriptions, and what they may.

The operator may all. A client of the streams listener needs rights to `NODE/__ds/subscriptions/ID`, as to a stream of
that name: `manage` to make, delete and change it, `read` to look at it, `append` to claim its wakes. What it subscribes
to it must be able to read: every stream that the pattern can ever mean, in one piece. To a wake stream it must be able to
append. What a wake tells of is looked at again when it is sent, for the document may have changed since.
"""

from collections.abc import Iterable
from typing import Literal

from littoral.core.errors import Forbidden, LittoralError, Unauthenticated
from littoral.core.names import StreamName
from littoral.streams.access import AccessList, Right
from littoral.streams.subscriptions.record import Owner, Root
from littoral.wire.subscriptions import Glob


class Caller:
    """Somebody who asks."""

    def __init__(self, owner: Owner, access: AccessList) -> None:
        self.owner = owner
        self._access = access

    def check(self, right: Right, name: StreamName, operation: str) -> None:
        """Raises Unauthenticated, Forbidden."""
        if not may(self.owner, self._access, right, name):
            self._refuse(right, str(name), operation)

    def check_pattern(self, root: Root, glob: Glob, operation: str) -> None:
        """Raise unless all that the pattern can mean may be read."""
        if self.owner.operator:
            return
        before = f"{root.node}/" if root.name == "own" else ""
        for reach in glob.reaches():
            if not self._access.covers(self.owner.client, "read", f"{before}{reach}"):
                self._refuse("read", f"{before}{reach}", operation)

    def check_all(self, right: Right, names: Iterable[StreamName], operation: str) -> None:
        """Raises Unauthenticated, Forbidden."""
        for name in names:
            self.check(right, name, operation)

    def _refuse(self, right: Right, what: str, operation: str) -> None:
        remedy = f"Let it {right} {what} in spec.streams.access of the node"
        client = self.owner.client
        error: LittoralError
        if client is None:
            error = Unauthenticated(operation, what, f"no client was named, and not everybody may {right}", remedy)
        else:
            error = Forbidden(operation, what, f"client {client} may not {right} all of it", remedy)
        raise error


def may(owner: Owner, access: AccessList, right: Literal["read", "append", "manage"], name: StreamName) -> bool:
    """Whether somebody has a right to a stream."""
    return owner.operator or access.allows(owner.client, right, name)
