"""A gateway's way to whichever worker serves at a path: connected again whenever there is another."""

import asyncio
import contextlib
from typing import Protocol

from littoral.core.errors import LittoralError, TimedOut
from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.functions.calls.worker_connection import WorkerConnection
from littoral.functions.messages import AnswerError
from littoral.functions.meters import Failure

FIRST_RETRY_S, LAST_RETRY_S = 0.002, 0.25


class AppClient(Protocol):
    """One app's workers as a gateway sees them."""

    app: str
    limits: Limits
    wall_s: float
    """The most a request may take."""

    @property
    def has_waiting(self) -> bool:
        """Whether requests wait for a worker."""
        ...

    def available(self) -> None:
        """A worker can be reached again."""
        ...

    def kill(self, pid: int) -> None:
        """A worker did not let go of a request."""
        ...

    def timed_out(self) -> TimedOut:
        """The error of a request that is past its deadline."""
        ...

    def error(self, error: AnswerError) -> LittoralError:
        """What a worker's word means."""
        ...

    def failed(self, connection: WorkerConnection, why: Failure) -> None:
        """An answer that had begun broke off."""
        ...

    def computed(self, connection: WorkerConnection, cpu_us: int) -> None:
        """An answer that came in pieces has ended, and took that."""
        ...


class WorkerLink:
    """Keeps a connection to whichever worker serves at one path."""

    def __init__(self, client: AppClient, path: str, tasks: Tasks) -> None:
        self.client = client
        self.tasks = tasks
        self.connection: WorkerConnection | None = None
        self._path = path
        self._closed = False
        self._connecting = False
        self._starting: WorkerConnection | None = None
        """To a worker that has not started yet."""
        self._news = asyncio.Event()
        """Set when there may be a worker by now."""
        self.connect()

    def close(self) -> None:
        """Send nothing more; the connection closes when its requests are answered."""
        self._closed = True
        self._news.set()
        if self.connection is not None:
            connection, self.connection = self.connection, None
            connection.leave()
        if self._starting is not None:
            self._starting.leave()

    def lost(self, connection: WorkerConnection) -> None:
        """The connection broke, or its worker is leaving."""
        if self.connection is connection:
            self.connection = None
            self.connect()

    def try_now(self) -> None:
        """There is a worker now."""
        self._news.set()
        self.connect()

    def connect(self) -> None:
        """Look whether there is a worker, and go on to look while requests wait for one. Whoever finds none otherwise is told
        when there is one."""
        if not self._closed and not self._connecting and self.connection is None:
            self._connecting = True
            self.tasks.start(self._keep_connecting(), f"connect to {self._path}")

    async def _keep_connecting(self) -> None:
        delay_s = FIRST_RETRY_S
        loop = asyncio.get_running_loop()
        try:
            while not self._closed:
                self._news.clear()
                with contextlib.suppress(OSError):
                    _, connection = await loop.create_unix_connection(lambda: WorkerConnection(self), self._path)
                    if await self._started(connection):
                        self.connection = connection
                        self.client.available()
                        return
                if not self._news.is_set() and not self.client.has_waiting:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay_s):
                        await self._news.wait()
                delay_s = min(delay_s * 2, LAST_RETRY_S)
        finally:
            self._connecting = False

    async def _started(self, connection: WorkerConnection) -> bool:
        """Whether there is a worker that takes requests, once it has started. Until then nothing is sent there: what a request may take
        is counted from when its worker is there, and of one that does not start nothing is lost."""
        self._starting = connection
        if self._closed:
            connection.leave()
        try:
            return await connection.serves and connection.takes_requests
        finally:
            self._starting = None
