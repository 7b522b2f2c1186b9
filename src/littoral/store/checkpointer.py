"""When the write-ahead log is checkpointed (moved into the database): beside the writer, so that no commit waits for it.

    so many pages in the log      a connection of its own checkpoints them, off the event loop, while commits go on
    nearly all is checkpointed    the writer does the rest, between two groups: then the log begins anew
    far too many pages            the same, however much it is: a log that grows for ever is worse than a pause

Without `run` (tools, and tests of the store alone) the writer does all of it, as SQLite would.
"""

import asyncio
import threading

import apsw

from littoral.core.offload import Offload

CHECKPOINT_PAGES = 1_000
"""Each time so many pages have come (4 MB): with more at once, a commit's sync would wait for theirs."""
REST_PAGES = 400
"""What the writer may find left to do: it takes about as long as a commit does."""
MOST_PAGES = 16_000
"""64 MB, of which all but the last are checkpointed where the disk is not far behind."""


class Checkpointer:
    """Of one store on a disk with shared memory."""

    def __init__(self, connection: apsw.Connection, beside: apsw.Connection) -> None:
        """connection: the writer's; beside: one of our own. From now on SQLite checkpoints nothing by itself."""
        self._connection = connection
        self._beside: apsw.Connection | None = beside
        self._at_work = threading.Lock()
        """Held while the connection beside is used: who ends `run` does not end what it has begun."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """Of `run`, while it works."""
        self._grown = asyncio.Event()
        self.pages = 0
        """In the log after the last commit."""
        self._done = 0
        """Of those, in the database already."""
        connection.set_wal_hook(self._note)

    def _note(self, connection: apsw.Connection, database: str, pages: int) -> int:
        """For SQLite, on the writer: a commit has made the log so long."""
        if pages < self.pages:
            self._done = 0  # it was begun anew
        self.pages = pages
        return apsw.SQLITE_OK

    def after_group(self) -> None:
        """For the writer, between two groups, when the first has been answered."""
        left, loop = self.pages - self._done, self._loop
        if loop is None:
            if left >= CHECKPOINT_PAGES:
                self._checkpoint(self._connection)
        elif self.pages >= MOST_PAGES or (self._done and 0 < left <= REST_PAGES):
            self._checkpoint(self._connection)
        elif left >= CHECKPOINT_PAGES:
            loop.call_soon_threadsafe(self._grown.set)

    async def run(self, offload: Offload) -> None:
        """Checkpoint whenever the log has grown, until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                await self._grown.wait()
                self._grown.clear()
                await offload(self._checkpoint_beside)
        finally:
            self._loop = None

    def _checkpoint_beside(self) -> None:
        with self._at_work:
            if self._beside is not None:
                self._checkpoint(self._beside)

    def _checkpoint(self, connection: apsw.Connection) -> None:
        """As much as no reader keeps in the log."""
        try:
            _, self._done = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error:
            # Somebody else is at it, or the disk fails: it is tried again after a commit, which says what is wrong.
            return

    def close(self) -> None:
        """Leave the rest to SQLite, which does all of it when the last connection is closed. Safe to call twice."""
        with self._at_work:
            if self._beside is not None:
                self._beside.close()
            self._beside = None
