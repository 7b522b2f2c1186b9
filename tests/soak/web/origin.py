"""The origin of a run: it serves the site, takes uploads, and has moods."""

import asyncio
import hashlib
import random

from tests.soak.web.site import BY_NAME, Kind, Page, Versions

PIECE_BYTES = 64 << 10
BROKEN_SHARE = 0.3
"""Of the answers for pages that break off."""
ILL_SHARE = 0.5
"""Of the answers for pages that fail."""
EVENT_S = 0.02


class Site:
    """Answers requests. For `tests.support.raw_origin.RawOrigin`."""

    def __init__(self, seed: int) -> None:
        self.versions = Versions()
        self.requests = 0
        self._random = random.Random(seed)

    async def answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, on a connection that goes on."""
        self.requests += 1
        method, target, _ = head.split(" ", 2)
        fields = _fields(head)
        if "upgrade" in fields:
            await _echo(reader, writer)
        elif target == "/events":
            await _events(writer)
        elif method == "POST":
            await _digest(fields, reader, writer)
        else:
            await self._page(target, fields, writer)

    async def _page(self, target: str, fields: dict[str, str], writer: asyncio.StreamWriter) -> None:
        _, name, number = target.split("/")
        kind = BY_NAME[name]
        page = Page(kind, int(number), fields.get("accept-language", "en"))
        version = self.versions.of(page.path)
        if kind.name == "ill" and self._random.random() < ILL_SHARE:
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
            return
        etag = "" if version else f"etag: {page.etag}\r\n"
        if etag and fields.get("if-none-match") == page.etag:
            writer.write(f"HTTP/1.1 304 Not Modified\r\n{kind.fields}\r\n{etag}\r\n".encode())
            return
        await self._body(kind, etag, page.body(version), writer)

    async def _body(self, kind: Kind, etag: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        framing = "transfer-encoding: chunked" if kind.chunked else f"content-length: {len(body)}"
        writer.write(f"HTTP/1.1 200 OK\r\n{kind.fields}\r\n{etag}{framing}\r\n\r\n".encode())
        if kind.name == "broken" and self._random.random() < BROKEN_SHARE:
            writer.write(body[: len(body) // 2])
            raise ConnectionError("as planned")
        for start in range(0, len(body), PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES]
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if kind.chunked else piece)
            await writer.drain()
        if kind.chunked:
            writer.write(b"0\r\n\r\n")


def _fields(head: str) -> dict[str, str]:
    lines = head.split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


async def _digest(fields: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer an upload with what it was."""
    digest = hashlib.sha256()
    if "content-length" in fields:
        left = int(fields["content-length"])
        while left:
            piece = await reader.readexactly(min(left, PIECE_BYTES))
            digest.update(piece)
            left -= len(piece)
    else:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            digest.update(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
    said = digest.hexdigest().encode()
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(said)}\r\n\r\n".encode() + said)


async def _events(writer: asyncio.StreamWriter) -> None:
    """For as long as somebody listens."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\r\n")
    number = 0
    while not writer.is_closing():
        writer.write(f"data: {number}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(EVENT_S)
        number += 1
    raise ConnectionError("nobody listens")


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Another protocol, in which everything comes back."""
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    while data := await reader.read(PIECE_BYTES):
        writer.write(data)
        await writer.drain()
    raise ConnectionError("the other side has closed")
