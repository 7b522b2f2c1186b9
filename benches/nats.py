"""nats-server with JetStream on files, as a peer: messages published one by one, each acknowledged by the server.

The protocol is spoken here by hand, for a client library would be measured along. By default the server acknowledges what
it has written to the page cache and syncs every two minutes: a power cut loses what came since. With `sync_always` it
syncs each message before it acknowledges it, as a node here does.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from benches.harness import free_port, process

SERVER = Path(sys.executable).with_name("nats-server")
STREAM = "bench"
SUBJECT = "bench.records"
MESSAGES_MOST = 4096


@contextlib.contextmanager
def running_nats(directory: Path, *, sync_always: bool = False) -> Iterator[int]:
    """The port of a server with its store in `directory`, until the block ends."""
    port = free_port()
    store = f'jetstream {{ store_dir: "{directory / f"nats-{port}"}"{SYNC if sync_always else ""} }}'
    with _server(directory, f'listen: "127.0.0.1:{port}"\n{store}\n', port):
        yield port


SYNC = "\n  sync_interval: always"


@contextlib.contextmanager
def running_leaf(directory: Path) -> Iterator[tuple[int, int]]:
    """The ports of a server and of one that is connected to it as a leaf node, each with JetStream in a domain of its own
    that syncs each message, until the block ends."""
    hub, leaves, leaf = free_port(), free_port(), free_port()
    hub_config = f"""
        server_name: root
        listen: "127.0.0.1:{hub}"
        jetstream {{ store_dir: "{directory / "nats-root"}", domain: root{SYNC} }}
        leafnodes {{ listen: "127.0.0.1:{leaves}" }}
    """
    leaf_config = f"""
        server_name: site
        listen: "127.0.0.1:{leaf}"
        jetstream {{ store_dir: "{directory / "nats-site"}", domain: site{SYNC} }}
        leafnodes {{ remotes: [ {{ url: "nats-leaf://127.0.0.1:{leaves}" }} ] }}
    """
    with _server(directory, hub_config, hub), _server(directory, leaf_config, leaf):
        yield hub, leaf


@contextlib.contextmanager
def _server(directory: Path, config: str, port: int) -> Iterator[None]:
    file = directory / f"nats-{port}.conf"
    file.write_text(config, encoding="ascii")
    with process([str(SERVER), "-c", str(file)], port):
        yield


class Publisher:
    """One connection that waits for the server's acknowledgement of each message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inbox: str) -> None:
        self._reader = reader
        self._writer = writer
        self._inbox = inbox

    async def request(self, subject: str, payload: bytes) -> bytes:
        """Publish, and the answer."""
        self._writer.write(f"PUB {subject} {self._inbox} {len(payload)}\r\n".encode() + payload + b"\r\n")
        return await self.message()

    async def message(self) -> bytes:
        """The next message of what this connection is subscribed to."""
        while True:
            line = await self._reader.readuntil(b"\r\n")
            if line.startswith(b"MSG"):
                size = int(line.split()[-1])
                return (await self._reader.readexactly(size + 2))[:-2]
            if line.startswith(b"HMSG"):
                head, size = (int(each) for each in line.split()[-2:])
                return (await self._reader.readexactly(size + 2))[head:-2]
            if line.startswith(b"PING"):
                self._writer.write(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                raise RuntimeError(line)

    async def append(self, payload: bytes) -> None:
        """Publish a message into the stream. Raises RuntimeError where it is not stored."""
        answer = await self.request(SUBJECT, payload)
        if b'"seq"' not in answer:
            raise RuntimeError(answer)

    async def order(self, api: str, order: object) -> bytes:
        """Have the server make something. Raises RuntimeError where it does not."""
        answer = await self.request(api, json.dumps(order).encode())
        if b'"error"' in answer:
            raise RuntimeError(answer)
        return answer

    def close(self) -> None:
        """Let go of the connection."""
        self._writer.close()


@contextlib.asynccontextmanager
async def publishers(port: int, count: int) -> AsyncIterator[list[Publisher]]:
    """So many connections, and the stream they publish into."""
    connections = [await connect(port, f"_INBOX.{number}") for number in range(count)]
    try:
        order = {"name": STREAM, "subjects": [SUBJECT], "storage": "file", "retention": "limits"}
        await connections[0].order(f"$JS.API.STREAM.CREATE.{STREAM}", order)
        yield connections
    finally:
        for connection in connections:
            connection.close()


async def connect(port: int, inbox: str) -> Publisher:
    """A connection that is subscribed to `inbox`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readuntil(b"\r\n")  # INFO
    writer.write(b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n' + f"SUB {inbox} 1\r\n".encode())
    return Publisher(reader, writer, inbox)
