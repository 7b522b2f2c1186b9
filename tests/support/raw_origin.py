"""An origin whose answers a test writes itself, byte by byte."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

Answer = Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""(the request's head, reader, writer); the connection goes on with the next request."""


class RawOrigin:
    """A server on loopback; use it with `async with`."""

    def __init__(self, answer: Answer) -> None:
        self.heads: list[str] = []
        """Of the requests, as they came."""
        self._answer = answer
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        for task in self._serving:
            task.cancel()
        while self._serving:
            await asyncio.sleep(0)
        # Transports close in the loop's next turn.
        await asyncio.sleep(0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                await self._answer(head, reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            del self._serving[task]


def whole(body: bytes = b"hello", *fields: str, status: str = "200 OK") -> bytes:
    """An answer with a body of known length."""
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body
