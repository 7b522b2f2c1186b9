"""nats-server with JetStream on files, as a peer: messages published one by one, each acknowledged by the server.

The protocol is spoken here by hand, for a client library would be measured along. This version acknowledges what it has
written to the page cache and syncs every two minutes: a power cut loses what came since.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from benches.harness import free_port, process

STREAM = "bench"
SUBJECT = "bench.records"
MESSAGES_MOST = 4096


@contextlib.contextmanager
def running_nats(directory: Path) -> Iterator[int]:
    """The port of a server with its store in `directory`, until the block ends."""
    port = free_port()
    config = directory / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{directory / "nats"}" }}\n', encoding="ascii"
    )
    with process(["nats-server", "-c", str(config)], port):
        yield port


class Publisher:
    """One connection that waits for the server's acknowledgement of each message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inbox: str) -> None:
        self._reader = reader
        self._writer = writer
        self._inbox = inbox

    async def request(self, subject: str, payload: bytes) -> bytes:
        """Publish, and the answer."""
        self._writer.write(f"PUB {subject} {self._inbox} {len(payload)}\r\n".encode() + payload + b"\r\n")
        while True:
            line = await self._reader.readuntil(b"\r\n")
            if line.startswith(b"MSG"):
                size = int(line.split()[-1])
                return (await self._reader.readexactly(size + 2))[:-2]
            if line.startswith(b"PING"):
                self._writer.write(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                raise RuntimeError(line)

    async def append(self, payload: bytes) -> None:
        """Publish a message into the stream. Raises RuntimeError where it is not stored."""
        answer = await self.request(SUBJECT, payload)
        if b'"seq"' not in answer:
            raise RuntimeError(answer)

    def close(self) -> None:
        """Let go of the connection."""
        self._writer.close()


@contextlib.asynccontextmanager
async def publishers(port: int, count: int) -> AsyncIterator[list[Publisher]]:
    """So many connections, and the stream they publish into."""
    connections = [await _connect(port, f"_INBOX.{number}") for number in range(count)]
    try:
        order = {"name": STREAM, "subjects": [SUBJECT], "storage": "file", "retention": "limits"}
        answer = await connections[0].request(f"$JS.API.STREAM.CREATE.{STREAM}", json.dumps(order).encode())
        if b'"error"' in answer:
            raise RuntimeError(answer)
        yield connections
    finally:
        for connection in connections:
            connection.close()


async def _connect(port: int, inbox: str) -> Publisher:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readuntil(b"\r\n")  # INFO
    writer.write(b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n' + f"SUB {inbox} 1\r\n".encode())
    return Publisher(reader, writer, inbox)
