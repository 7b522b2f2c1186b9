"""Streams of bytes (WHATWG Streams, as far as bodies need them)."""

import asyncio
import inspect
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from littoral.core.tasks import Tasks
from littoral.workers.buffers import Buffer
from littoral.workers.missing import NotSupported

HIGH_WATER_CHUNKS = 16
"""So many chunks wait in a TransformStream before `write` waits for the reader."""


class StreamLocked(TypeError):
    """Somebody else reads this stream already."""


class BodyTooLarge(OSError):
    """A body is larger than what is read whole; read piece by piece it may be of any length."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(
            f"the body is larger than the {most_bytes} bytes that are read whole; read it piece by piece: "
            "async for piece in request.body"
        )


class ReadResult(NamedTuple):
    """What a reader's `read` gives."""

    done: bool
    value: Buffer | None


def as_bytes(chunk: object) -> bytes:
    """A chunk of a body. Raises TypeError for what is neither text nor bytes."""
    if isinstance(chunk, str):
        return chunk.encode()
    if isinstance(chunk, bytes | bytearray | memoryview):
        return bytes(chunk)
    raise TypeError(f"a body's chunks are bytes or str, not {type(chunk).__name__}")


class ReadableStream:
    """A body that is read piece by piece, once. Iterate over it with `async for`, or take a reader."""

    __slots__ = ("__weakref__", "_chunks", "_locked", "_most_bytes", "_whole", "disturbed", "length")

    def __init__(
        self, source: bytes | AsyncIterable[object], length: int | None = None, most_bytes: int | None = None
    ) -> None:
        """source: all of it, or where its pieces come from. length: of all of it, if it is known. most_bytes: of what is read
        whole."""
        self.length = len(source) if isinstance(source, bytes) else length
        self._most_bytes = most_bytes
        self._whole = source if isinstance(source, bytes) else None
        self._chunks = None if isinstance(source, bytes) else aiter(source)
        self._locked = False
        self.disturbed = False
        """Whether anybody began to read it."""

    @classmethod
    def new(cls, source: Any = None, strategy: object = None, **options: Any) -> "ReadableStream":
        """As JavaScript's constructor: `start`, `pull` and `cancel` in `source`, or as keywords. `strategy` is ignored:
        one piece is asked for at a time."""
        return cls(_pulled({**(source or {}), **options}))

    @property
    def locked(self) -> bool:
        """Whether a reader has it."""
        return self._locked

    def __aiter__(self) -> AsyncIterator[Buffer]:
        self._lock()
        return self._pieces()

    async def whole(self) -> bytes:
        """All that is left. Raises BodyTooLarge, before it is read where its length is known."""
        if self._whole is not None:
            self._lock()
            self.disturbed = True
            whole, self._whole = self._whole, None
            return whole
        most = self._most_bytes
        if most is None:
            return b"".join([piece async for piece in self])
        if not self.disturbed and (self.length or 0) > most:
            raise BodyTooLarge(most)
        pieces, size = [], 0
        async for piece in self:
            size += len(piece)
            if size > most:
                raise BodyTooLarge(most)
            pieces.append(piece)
        return b"".join(pieces)

    def getReader(self) -> "Reader":
        """A reader, which has the stream to itself until it lets go."""
        self._lock()
        return Reader(self)

    def tee(self) -> tuple["ReadableStream", "ReadableStream"]:
        """Two streams of the same bytes. What only one of them has read is held in memory."""
        self._lock()
        pieces, waiting = self._pieces(), (deque[Buffer](), deque[Buffer]())
        turn = asyncio.Lock()

        async def branch(mine: deque[Buffer], other: deque[Buffer]) -> AsyncIterator[Buffer]:
            while True:
                async with turn:
                    if not mine:
                        piece = await anext(pieces, None)
                        if piece is None:
                            return
                        mine.append(piece)
                        other.append(piece)
                yield mine.popleft()

        length, most = self.length, self._most_bytes
        return (
            ReadableStream(branch(*waiting), length, most),
            ReadableStream(branch(*reversed(waiting)), length, most),
        )

    async def pipeTo(self, destination: "WritableStream") -> None:
        """Write all of it to `destination`, and close that."""
        try:
            async for piece in self:
                await destination.write(piece)
        except Exception as error:
            await destination.abort(error)
            raise
        await destination.close()

    def pipeThrough(self, transform: "TransformStream") -> "ReadableStream":
        """Write all of it to `transform`, whose readable side this gives."""
        pipe = _background.start(self.pipeTo(transform.writable), "pipe of streams")
        # A readable side that is dropped unread would leave the pipe waiting for a reader for ever.
        weakref.finalize(transform.readable, pipe.cancel).atexit = False
        return transform.readable

    async def cancel(self, reason: object = None) -> None:
        """Nobody wants the rest."""
        self.disturbed = True
        self._whole = None
        close = getattr(self._chunks, "aclose", None)
        self._chunks = None
        if close is not None:
            await close()

    async def _pieces(self) -> AsyncIterator[Buffer]:
        self.disturbed = True
        if self._whole is not None:
            whole, self._whole = self._whole, None
            if whole:
                yield Buffer(whole)
        while self._chunks is not None:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self._chunks = None
                return
            if piece := Buffer(as_bytes(chunk)):
                yield piece

    def _lock(self) -> None:
        if self._locked:
            raise StreamLocked("this stream is being read already; take request.clone() or stream.tee() before")
        self._locked = True

    def release(self) -> None:
        """Whoever read it does not any more; what is left may be read by another."""
        self._locked = False


class Reader:
    """Reads a stream piece by piece."""

    __slots__ = ("_pieces", "_stream")

    def __init__(self, stream: ReadableStream) -> None:
        self._stream = stream
        self._pieces = stream._pieces()

    async def read(self) -> ReadResult:
        """The next piece, or done."""
        piece = await anext(self._pieces, None)
        return ReadResult(done=piece is None, value=piece)

    def releaseLock(self) -> None:
        """Let others read the rest."""
        self._stream.release()

    async def cancel(self, reason: object = None) -> None:
        """Nobody wants the rest."""
        await self._stream.cancel(reason)


class Controller:
    """What `start` and `pull` of a ReadableStream put their pieces into."""

    def __init__(self) -> None:
        self.pieces: deque[bytes] = deque()
        self.closed = False
        self.failure: BaseException | None = None
        self.changed = asyncio.Event()

    def enqueue(self, chunk: object) -> None:
        """One more piece. Raises TypeError where the stream is closed."""
        if self.closed:
            raise TypeError("this stream is closed")
        self.pieces.append(as_bytes(chunk))
        self.changed.set()

    def close(self) -> None:
        """No more pieces."""
        self.closed = True
        self.changed.set()

    def error(self, reason: object = None) -> None:
        """Whoever reads gets this."""
        failed = isinstance(reason, BaseException)
        self.failure = reason if failed else RuntimeError(str(reason))  # type: ignore[assignment]
        self.close()

    @property
    def desiredSize(self) -> int:
        """How many more pieces are wanted."""
        return 1 - len(self.pieces)


async def _pulled(source: Mapping[str, Callable[..., Any]]) -> AsyncIterator[bytes]:
    """The pieces of a source in JavaScript's form. It is started when it is first read."""
    controller = Controller()
    start, pull, cancel = source.get("start"), source.get("pull"), source.get("cancel")
    starting = None
    if start is not None and inspect.isawaitable(begun := start(controller)):
        starting = _background.start(_started(begun, controller), "start of a ReadableStream")
        if pull is not None:
            await starting
    try:
        while True:
            while controller.pieces:
                yield controller.pieces.popleft()
            if controller.failure is not None:
                raise controller.failure
            if controller.closed:
                return
            controller.changed.clear()
            pulling = controller.changed.wait() if pull is None else pull(controller)
            if inspect.isawaitable(pulling):
                await pulling
    finally:
        if starting is not None:
            starting.cancel()
        if cancel is not None and not controller.closed:
            cancel(None)


async def _started(starting: Awaitable[object], controller: Controller) -> None:
    try:
        await starting
    except Exception as error:  # noqa: BLE001 - it is raised where the stream is read
        controller.error(error)


class WritableStream:
    """The side of a TransformStream that is written to."""

    __slots__ = ("_queue", "closed")

    def __init__(self, queue: "asyncio.Queue[bytes | BaseException | None]") -> None:
        self._queue = queue
        self.closed = False

    def getWriter(self) -> "WritableStream":
        """Itself: it is its own writer."""
        return self

    async def write(self, chunk: object) -> None:
        """Write a piece; waits while the reader is far behind. Raises TypeError where it is closed."""
        if self.closed:
            raise TypeError("this stream is closed")
        await self._queue.put(as_bytes(chunk))

    async def close(self) -> None:
        """No more pieces."""
        if not self.closed:
            self.closed = True
            await self._queue.put(None)

    async def abort(self, reason: object = None) -> None:
        """Whoever reads gets an error."""
        self.closed = True
        await self._queue.put(reason if isinstance(reason, BaseException) else RuntimeError(str(reason)))

    def releaseLock(self) -> None:
        """Nothing: it is its own writer."""


class TransformStream:
    """What is written to one side is read at the other, unchanged."""

    __slots__ = ("readable", "writable")

    def __init__(self, transformer: object = None) -> None:
        if transformer:
            raise NotSupported(
                "TransformStream with a transformer", "Write an async generator over the stream, and respond with that"
            )
        queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue(HIGH_WATER_CHUNKS)
        self.readable = ReadableStream(_queued(queue))
        self.writable = WritableStream(queue)

    @classmethod
    def new(cls, transformer: object = None, *strategies: object) -> "TransformStream":
        """As JavaScript's constructor."""
        return cls(transformer)


class IdentityTransformStream(TransformStream):
    """Workers' name for a TransformStream of bytes."""


class FixedLengthStream(TransformStream):
    """Workers' name for a TransformStream of so many bytes; the length is not checked."""

    @classmethod
    def new(cls, length: object = None, *strategies: object) -> "FixedLengthStream":
        """As JavaScript's constructor."""
        return cls()


async def _queued(queue: "asyncio.Queue[bytes | BaseException | None]") -> AsyncIterator[bytes]:
    while (piece := await queue.get()) is not None:
        if isinstance(piece, BaseException):
            raise piece
        yield piece


def _seen_by_the_reader(error: BaseException) -> None:
    """What ends a pipe is raised where its other end is read."""


_background = Tasks(_seen_by_the_reader)
