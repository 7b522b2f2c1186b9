"""The operator API's part for blobs.

GET    /v1/blobs?cursor&limit                 what is here, by digest, page by page
PUT    /v1/blobs?send=up                      one small enough for the body of a request; answers its digest
POST   /v1/blobs      {digest, size, send}    announce one: answers how much of it is here
PATCH  /v1/blobs/sha256:HEX?offset            bring more of it: whole blocks, or its end; answers how much is here then
PUT    /v1/blobs/sha256:HEX?send=up           as PUT above, where the digest is known
GET    /v1/blobs/sha256:HEX                   its bytes, or a range of them; fetched from above if it is not here
HEAD   /v1/blobs/sha256:HEX                   its size, here or above
DELETE /v1/blobs/sha256:HEX                   remove it here

send=up: it goes to the root, and stays at each node on the way.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Literal

import msgspec

from littoral.core.errors import InvalidInput, Unavailable
from littoral.core.http import AnyResponse, Request, Response, StreamingResponse
from littoral.core.limits import BLOB_PIECE_BYTES, BLOBS_LISTED, Limits
from littoral.core.offload import Offload
from littoral.core.undecodable import UNDECODABLE
from littoral.node.blob_messages import PATH, Announcement, BlobEntry, BlobPage
from littoral.store.blob_rows import ALGORITHM, BlobRow, blob_digest, blob_name
from littoral.store.blobs import Blobs
from littoral.streams.blob_fetcher import BlobFetcher
from littoral.wire.answers import NO_STORE, json_answer, method_not_allowed
from littoral.wire.byte_range import Unsatisfiable, byte_range
from littoral.wire.peer import BlobMark
from littoral.wire.query import whole_number

PATIENCE_S = 60.0
"""How long a reader waits for bytes that are fetched from above: a few tries of a request that is not answered."""
LOOK_AGAIN_S = 0.1
"""How often it is looked whether a blob that has come is right."""


class BlobApi:
    """Answers for requests whose path begins with PATH, once the operator is known."""

    def __init__(self, blobs: Blobs, fetcher: BlobFetcher, limits: Limits, offload: Offload) -> None:
        self._blobs = blobs
        self._fetcher = fetcher
        self._limits = limits
        self._offload = offload

    async def handle(self, request: Request) -> AnyResponse:
        """Answer one request. Raises LittoralError."""
        name = request.path.removeprefix(PATH).removeprefix("/")
        match (request.method, bool(name)):
            case ("GET", False):
                return json_answer(self._page(request.query))
            case ("POST", False):
                return json_answer(await self._announce(request))
            case ("PUT", _):
                return await self._put(request, blob_digest(name) if name else None)
            case ("PATCH", True):
                offset = _number(request.query, "offset", 0)
                return json_answer(await self._blobs.append(blob_digest(name), offset, request.body))
            case ("GET" | "HEAD", True):
                return await self._get(request, blob_digest(name))
            case ("DELETE", True):
                await self._blobs.drop(blob_digest(name))
                return Response(204)
        raise method_not_allowed(request)

    def _page(self, query: Mapping[str, str]) -> BlobPage:
        after = query.get("cursor", "")
        limit = min(_number(query, "limit", BLOBS_LISTED.default), self._limits[BLOBS_LISTED])
        rows = self._blobs.rows(after, max(1, limit) + 1)
        shown = rows[: max(1, limit)]
        return BlobPage([self._entry(row) for row in shown], shown[-1].digest if len(shown) < len(rows) else None)

    def _entry(self, row: BlobRow) -> BlobEntry:
        return BlobEntry(
            blob_name(row.digest),
            row.size,
            self._blobs.have(row.digest),
            _state(row, self._blobs.parent),
            row.created_ms,
            row.used_ms,
            row.refused,
        )

    async def _announce(self, request: Request) -> BlobMark:
        try:
            order = msgspec.json.decode(request.body, type=Announcement)
        except UNDECODABLE as error:
            form = f'Send {{"digest": "{ALGORITHM}…", "size": BYTES}}'
            raise InvalidInput("announce blob", "", str(error), form) from error
        return await self._blobs.begin(blob_digest(order.digest), order.size, send=order.send == "up")

    async def _put(self, request: Request, digest: str | None) -> Response:
        data = request.body
        found = await self._offload(lambda: hashlib.sha256(data).hexdigest())
        if digest not in (None, found):
            raise InvalidInput("put blob", blob_name(digest), f"the digest of what came is {blob_name(found)}")
        mark = await self._blobs.begin(found, len(data), send=_send(request.query))
        while not mark.complete:
            mark = await self._blobs.append(found, mark.have, data[mark.have :])
            if not mark.complete:
                # Some of it had come before a restart, and is looked at once more.
                await asyncio.sleep(LOOK_AGAIN_S)
        return json_answer({"digest": blob_name(found), "size": len(data)}, 201)

    async def _get(self, request: Request, digest: str) -> AnyResponse:
        size = await self._fetcher.size(digest)
        headers = [
            ("content-type", "application/octet-stream"),
            ("accept-ranges", "bytes"),
            ("etag", f'"{blob_name(digest)}"'),
            NO_STORE,
        ]
        try:
            wanted = byte_range(request.headers.get("range"), size) if request.method == "GET" else None
        except Unsatisfiable:
            return Response(416, [*headers, ("content-range", f"bytes */{size}")])
        status, (offset, end) = (200, (0, size)) if wanted is None else (206, wanted)
        if wanted is not None:
            headers.append(("content-range", f"bytes {offset}-{end - 1}/{size}"))
        headers.append(("content-length", str(end - offset)))
        if request.method == "HEAD":
            return StreamingResponse(status, headers, _nothing())
        # What is wrong with it is answered while it still can be.
        first = await self._read(digest, offset, end)
        return StreamingResponse(status, headers, self._chunks(digest, offset, end, first))

    async def _chunks(self, digest: str, offset: int, end: int, data: bytes) -> AsyncIterator[bytes]:
        while offset < end:
            yield data
            offset += len(data)
            data = await self._read(digest, offset, end)

    async def _read(self, digest: str, offset: int, end: int) -> bytes:
        """The next bytes before `end`; empty there alone."""
        if offset == end:
            return b""
        most = min(self._limits[BLOB_PIECE_BYTES], end - offset)
        data = await self._fetcher.read(digest, offset, most, PATIENCE_S)
        if not data:
            cause = f"for {PATIENCE_S:g} s nothing has come from the parent"
            raise Unavailable("read blob", blob_name(digest), cause, "Ask again: what has come stays here")
        return data


def _state(row: BlobRow, parent: str) -> Literal["coming", "here", "sending", "above", "refused"]:
    if not row.complete:
        return "coming"
    if row.refused:
        return "refused"
    if parent and row.above == parent:
        return "above"
    return "sending" if parent and row.send else "here"


def _send(query: Mapping[str, str]) -> bool:
    send = query.get("send", "")
    if send not in ("", "up"):
        raise InvalidInput("put blob", "", f"send={send[:20]!r} is no direction", "Leave it out, or write send=up")
    return send == "up"


def _number(query: Mapping[str, str], key: str, default: int) -> int:
    return whole_number(query, key, "read request for", "blobs", default)


async def _nothing() -> AsyncIterator[bytes]:
    """Of a response without a body."""
    empty: tuple[bytes, ...] = ()
    for piece in empty:
        yield piece
