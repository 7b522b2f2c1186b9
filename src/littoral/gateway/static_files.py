"""Files of a directory, as a web server gives them: with validators, ranges, and nothing that begins with a dot.

a file                 200, 206, 304 or 416
a directory            its index; without the slash at the end of the path, 301 to that
nothing                the index of all, where the route is a single-page application; a page of the route's; 404

A file that lies there compressed, too, is given so to clients that take that, where the route says so.
"""

import mimetypes
from collections.abc import Callable
from typing import Protocol
from urllib.parse import unquote

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import MethodNotAllowed, NotFound
from littoral.core.resources.web import Static
from littoral.gateway.exchange import Exchange
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.origin_calls import stripped
from littoral.gateway.target import RequestTarget
from littoral.wire.caching.fields import table
from littoral.wire.caching.http_date import format_date
from littoral.wire.caching.ranges import select
from littoral.wire.caching.selection import qualities
from littoral.wire.caching.storing import NEVER, Stored
from littoral.wire.caching.validation import not_modified, not_modified_fields

WELL_KNOWN = ".well-known"
"""The one name with a dot at its beginning that is for everybody (RFC 8615)."""
CODINGS = (("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz"))
"""Content codings, and how the names of files in them end; what is smallest first."""
_PACKED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/x-brotli",
}
"""What a file is that was asked for by such a name: who asks for it wants it as it is, and not unpacked on the way."""
_NOTHING = FieldBlock(())
_TEXTS = ("text/", "application/javascript", "application/json", "image/svg+xml")


class FileFacts(msgspec.Struct, frozen=True):
    """What is known of a file."""

    size: int
    changed_ns: int
    inode: int
    is_directory: bool = False


class OpenFile(Protocol):
    """A file, or a directory."""

    facts: FileFacts

    async def read(self, start: int, end: int) -> bytes:
        """Some bytes from `start` on, not beyond `end`; empty where the file is shorter than it was. Raises StorageError."""
        ...

    def close(self) -> None:
        """It is not wanted any more."""
        ...


class Directory(Protocol):
    """A directory and what is below it."""

    def open(self, parts: tuple[str, ...]) -> OpenFile | None:
        """What is there; None for nothing that may be given. Raises StorageError."""
        ...

    def start_of(self, name: str, size: int) -> bytes:
        """So many bytes of a file at the top, at once, or as many as it has; none where there is no such file. Raises StorageError."""
        ...


ChangeFields = Callable[[Fields], Fields]
"""What is said of a file, as somebody else wants it said."""


class StaticFiles:
    """Implements `littoral.gateway.gateway.Handler` for one route."""

    def __init__(self, directory: Directory, spec: Static, strip_prefix: str, clock: Clock) -> None:
        self._directory = directory
        self._spec = spec
        self._strip_prefix = strip_prefix
        self._clock = clock

    async def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int:
        """See Handler.serve. Raises NotFound, MethodNotAllowed, StorageError."""
        if exchange.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(
                "call", target.path[:120], f"files do not take {exchange.method}", "They take GET, HEAD"
            )
        path = stripped(target.path, self._strip_prefix)
        parts = _parts(path)
        found = self._directory.open(parts) if parts is not None else None
        if found is not None and found.facts.is_directory:
            found.close()
            if not path.endswith("/"):
                query = f"?{target.query}" if target.query else ""
                # A path, and not a URL: two slashes at its beginning would name another host.
                exchange.respond(301, _NOTHING, [("location", "/" + target.path.lstrip("/") + "/" + query)], b"")
                return 301
            assert parts is not None
            parts = (*parts, *self._spec.index.split("/"))
            found = self._file(parts)
        if found is not None and parts is not None and not path.endswith("/" + parts[-1] + "/"):
            return await self._give(exchange, found, parts, 200)
        return await self._give_instead(exchange, target)

    async def give(
        self, exchange: Exchange, parts: tuple[str, ...], status: int, change: ChangeFields | None = None
    ) -> int:
        """Give a file that is known to be there. Raises NotFound, StorageError."""
        found = self._file(parts)
        if found is None:
            raise NotFound("find file", "/".join(parts)[:120], "there is no such file any more")
        return await self._give(exchange, found, parts, status, change)

    async def _give_instead(self, exchange: Exchange, target: RequestTarget) -> int:
        """Of what is not there. Raises NotFound."""
        for name, status in ((self._spec.index if self._spec.single_page else None, 200), (self._spec.not_found, 404)):
            if name is not None:
                parts = tuple(name.split("/"))
                found = self._file(parts)
                if found is not None:
                    return await self._give(exchange, found, parts, status)
        raise NotFound("find file", target.path[:120], "there is no such file")

    def _file(self, parts: tuple[str, ...]) -> OpenFile | None:
        found = self._directory.open(parts)
        if found is not None and found.facts.is_directory:
            found.close()
            return None
        return found

    async def _give(
        self,
        exchange: Exchange,
        found: OpenFile,
        parts: tuple[str, ...],
        status: int,
        change: ChangeFields | None = None,
    ) -> int:
        coding = ""
        if self._spec.precompressed:
            found, coding = self._compressed(exchange, found, parts)
        try:
            stored = _as_stored(found.facts, parts[-1], status, self._spec, coding, self._clock.wall_ms() / 1000)
            if change is not None:
                stored = msgspec.structs.replace(stored, fields=tuple(change(stored.fields)))
            return await self._send(exchange, found, stored)
        finally:
            found.close()

    def _compressed(self, exchange: Exchange, found: OpenFile, parts: tuple[str, ...]) -> tuple[OpenFile, str]:
        """The file in a coding that the client takes, and which; or as it is. What is older than the file is of another one."""
        wanted = qualities(table(exchange.fields).get("accept-encoding", "").lower())
        for coding, suffix in CODINGS:
            if wanted.get(coding, wanted.get("*", 0)) > 0:
                packed = self._file((*parts[:-1], parts[-1] + suffix))
                if packed is not None and packed.facts.changed_ns >= found.facts.changed_ns:
                    found.close()
                    return packed, coding
                if packed is not None:
                    packed.close()
        return found, ""

    async def _send(self, exchange: Exchange, found: OpenFile, stored: Stored) -> int:
        facts, now_s, asked = found.facts, stored.born_s, table(exchange.fields)
        if not_modified(stored, asked, now_s):
            exchange.respond(304, _NOTHING, not_modified_fields(stored), b"")
            return 304
        selected = select(stored, facts.size, exchange.method, asked, now_s)
        assert selected is not None, stored.etag
        start, end = selected.start, selected.end
        extra = [("content-range", selected.content_range)] if selected.content_range else []
        block = FieldBlock(stored.fields)
        if exchange.method == "HEAD" or start == end:
            length = [("content-length", str(facts.size))] if exchange.method == "HEAD" else []
            exchange.respond(selected.status, block, [*extra, *length], b"")
            return selected.status
        first = await found.read(start, end)
        if len(first) == end - start:
            exchange.respond(selected.status, block, extra, first)
            return selected.status
        await exchange.begin(selected.status, block, [*extra, ("content-length", str(end - start))])
        piece = first
        while piece:
            await exchange.send(piece)
            start += len(piece)
            piece = await found.read(start, end) if start < end else b""
        if start < end:
            exchange.abort()  # It has become shorter meanwhile.
        else:
            await exchange.end()
        return selected.status


def _parts(path: str) -> tuple[str, ...] | None:
    """The names that a path leads through; None for one that leads to no file."""
    try:
        parts = [unquote(part, errors="strict") for part in path.split("/") if part]
    except UnicodeDecodeError:
        return None
    if any("/" in part or "\0" in part or (part.startswith(".") and part != WELL_KNOWN) for part in parts):
        return None
    return tuple(parts)


def _kind(name: str) -> tuple[str, str]:
    """What a file is, and its content coding."""
    kind, coding = mimetypes.guess_type(name)
    if coding is not None and not name.lower().endswith(".svgz"):  # Which nobody wants but to see it.
        kind, coding = _PACKED.get(coding), None
    return kind or "application/octet-stream", coding or ""


def _as_stored(facts: FileFacts, name: str, status: int, spec: Static, coding: str, now_s: float) -> Stored:
    """A file as a cache would hold it: conditions and ranges are judged alike. coding: in which it lies there, if that is not
    what its name says."""
    kind, own_coding = _kind(name)
    coding = coding or own_coding
    if kind.startswith(_TEXTS):
        kind = f"{kind}; charset=utf-8"
    changed_s = facts.changed_ns // 1_000_000_000
    etag = f'"{facts.inode:x}-{facts.changed_ns:x}-{facts.size:x}"'
    modified = format_date(changed_s)
    fields = [("content-type", kind), ("cache-control", spec.cache_control), ("x-content-type-options", "nosniff")]
    if coding:
        fields.append(("content-encoding", coding))
    if spec.precompressed:
        fields.append(("vary", "accept-encoding"))
    if status == 200:
        fields += [("etag", etag), ("last-modified", modified), ("accept-ranges", "bytes")]
    return Stored(
        status,
        tuple(fields),
        now_s,
        now_s,
        NEVER,
        NEVER,
        NEVER,
        etag=etag,
        modified=modified,
        modified_s=float(changed_s),
    )
