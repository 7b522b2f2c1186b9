"""When the write-ahead log is moved into the database: beside the writer, so that no commit waits for it.

    so many pages in the log     they are moved by a connection of their own, off the event loop, while commits go on
    nearly all of it is moved    the writer moves what came meanwhile, between two groups: then the log begins anew
    far too many pages           the same, however much it is: a log that grows for ever is worse than a pause

Without `run` (tools, and tests of the store alone) the writer does all of it, as SQLite would.
"""

import asyncio
import threading

import apsw

from littoral.core.offload import Offload

MOVED_PAGES = 1_000
"""The log is moved each time so many pages have come (4 MB): with more at once, a commit's sync would wait for theirs."""
REST_PAGES = 400
"""What the writer may find left to do: it takes about as long as a commit does."""
MOST_PAGES = 16_000
"""64 MB, of which all but the last have been moved where the disk is not far behind."""


class WriteAheadLog:
    """Of one store on a disk with shared memory."""

    def __init__(self, connection: apsw.Connection, beside: apsw.Connection) -> None:
        """connection: the writer's; beside: one of our own. From now on SQLite moves nothing by itself."""
        self._connection = connection
        self._beside: apsw.Connection | None = beside
        self._at_work = threading.Lock()
        """Held while the connection beside is used: who ends `run` does not end what it has begun."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """Of `run`, while it works."""
        self._grown = asyncio.Event()
        self.pages = 0
        """In the log after the last commit."""
        self._moved = 0
        """Of those, in the database already."""
        connection.set_wal_hook(self._note)

    def _note(self, connection: apsw.Connection, database: str, pages: int) -> int:
        """For SQLite, on the writer: a commit has made the log so long."""
        if pages < self.pages:
            self._moved = 0  # it was begun anew
        self.pages = pages
        return apsw.SQLITE_OK

    def after_group(self) -> None:
        """For the writer, between two groups, when the first has been answered."""
        left, loop = self.pages - self._moved, self._loop
        if loop is None:
            if left >= MOVED_PAGES:
                self._move(self._connection)
        elif self.pages >= MOST_PAGES or (self._moved and 0 < left <= REST_PAGES):
            self._move(self._connection)
        elif left >= MOVED_PAGES:
            loop.call_soon_threadsafe(self._grown.set)

    async def run(self, offload: Offload) -> None:
        """Move the log whenever it has grown, until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                await self._grown.wait()
                self._grown.clear()
                await offload(self._move_beside)
        finally:
            self._loop = None

    def _move_beside(self) -> None:
        with self._at_work:
            if self._beside is not None:
                self._move(self._beside)

    def _move(self, connection: apsw.Connection) -> None:
        """Move what no reader keeps from it."""
        try:
            _, self._moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error:
            # Somebody else is at it, or the disk fails: it is tried again after a commit, which says what is wrong.
            return

    def close(self) -> None:
        """Leave the rest to SQLite, which moves all of it when the last connection is closed. Safe to call twice."""
        with self._at_work:
            if self._beside is not None:
                self._beside.close()
            self._beside = None
