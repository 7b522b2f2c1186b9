"""A client's connection: what it asks, and what comes of it."""

import asyncio
from dataclasses import dataclass
from typing import Self

from tests.soak.workload import seconds

ANSWER_S = 60.0
"""Nobody waits for longer: an answer that does not come is a violation."""
HEAD_BYTES = 1 << 20


@dataclass(slots=True)
class Answer:
    """As it came."""

    status: int
    fields: dict[str, str]
    body: bytes = b""


class Broken(Exception):
    """The connection ended before an answer was whole. Says since when there was the connection."""

    def __init__(self, since_s: float, cause: str) -> None:
        super().__init__(cause)
        self.since_s = since_s


class Connection:
    """To the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, since_s: float) -> None:
        """since_s: before it was made."""
        self.reader = reader
        self.writer = writer
        self.since_s = since_s
        self.is_last = False
        """Whether the answer that came was the last one."""

    @classmethod
    async def open(cls, port: int) -> Self:
        since_s = seconds()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=HEAD_BYTES)
        return cls(reader, writer, since_s)

    @property
    def is_open(self) -> bool:
        """As far as it is known."""
        return not (self.is_last or self.reader.at_eof() or self.writer.is_closing())

    def send(self, method: str, target: str, fields: dict[str, str] | None = None) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in (fields or {}).items())
        self.writer.write(f"{method} {target} HTTP/1.1\r\nhost: edge.test\r\n{lines}\r\n".encode())

    async def ask(self, target: str, fields: dict[str, str] | None = None) -> Answer:
        """GET. Raises Broken, TimeoutError."""
        self.send("GET", target, fields)
        answer = await self.head()
        answer.body = await self.body(answer)
        return answer

    async def head(self) -> Answer:
        """Raises Broken, TimeoutError."""
        try:
            async with asyncio.timeout(ANSWER_S):
                raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise Broken(self.since_s, f"before an answer ({error})") from error
        first, *lines = raw.split("\r\n")[:-2]
        fields = {name: value for name, _, value in (line.partition(": ") for line in lines)}
        self.is_last = fields.get("connection") == "close"
        return Answer(int(first.split()[1]), fields)

    async def body(self, answer: Answer) -> bytes:
        """Raises Broken, TimeoutError."""
        if answer.status in (204, 304):
            return b""
        try:
            async with asyncio.timeout(ANSWER_S):
                if "content-length" in answer.fields:
                    return await self.reader.readexactly(int(answer.fields["content-length"]))
                pieces = []
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    pieces.append(await self.reader.readexactly(size))
                    await self.reader.readexactly(2)
                await self.reader.readexactly(2)
                return b"".join(pieces)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise Broken(self.since_s, f"in the middle of an answer ({error})") from error

    def close(self) -> None:
        self.writer.transport.abort()
