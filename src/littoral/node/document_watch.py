"""The document that a node was started with, while the node runs: its bridges follow it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from littoral.core.errors import LittoralError
from littoral.core.limits import RESOURCE_FILE_BYTES
from littoral.core.resources import Node
from littoral.drivers.changed_file import ChangedFile

LOOK_S = 2.0


class DocumentWatch:
    """Looks whether the file has changed; that is two system calls."""

    def __init__(
        self, path: Path, node: str, take: Callable[[Node], None], warn: Callable[[str], None], seen: str = ""
    ) -> None:
        """seen: see ChangedFile. take: gets each document that is another one, and is good. warn: told of those that are not; what was said before goes
        on."""
        self._file = ChangedFile(str(path), RESOURCE_FILE_BYTES.default, seen)
        self._node = node
        self._take = take
        self._warn = warn

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> bool:
        """See whether there is another document; whether it was taken."""
        if not self._file.has_changed():
            return False
        # It takes longer to import than most hubs ever need it.
        from littoral.core.resources.decode import decode_resources  # noqa: PLC0415

        try:
            documents = decode_resources(self._file.read(), self._file.path)
        except LittoralError as error:
            self._warn(f"{error}. What the document said before goes on")
            return False
        found = documents[0] if len(documents) == 1 else None
        if not isinstance(found, Node) or found.metadata.name != self._node:
            self._warn(f"{self._file.path} is no document of the node {self._node}. What it said before goes on")
            return False
        self._take(found)
        return True
