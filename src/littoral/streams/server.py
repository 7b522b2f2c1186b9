"""A node's streams over HTTP, by the Durable Streams protocol: `/v1/streams/<origin>/<path...>`, and its own also at
`/v1/stream/<path...>`.

    PUT      create     POST    append, close     DELETE  remove       own streams only; a copy answers 405
    GET      read: catch-up, long-poll, events    HEAD    metadata     own streams and copies

Who may do it was decided before a request comes here. An offset counts records, so a read starts and ends between
records, and a body is one record (or the messages of a JSON array). Stream-Seq is scoped to the stream.
"""

import asyncio
from collections.abc import Callable

from littoral.core.clock import Clock
from littoral.core.errors import Forbidden, Gone, InvalidInput, LittoralError, MethodNotAllowed, NotFound, TooLarge
from littoral.core.http import AnyResponse, Headers, Request, Response, StreamingResponse
from littoral.core.limits import API_BODY_BYTES, LONG_POLL_S, Limits
from littoral.core.names import SYSTEM_STREAMS, StreamName, check_stream_path, parse_stream_name
from littoral.core.random import Random
from littoral.core.waiting import while_client_waits
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.answers import NO_STORE, SAFETY, answer, problem, slice_headers, tail_headers
from littoral.streams.append import append, parse_append
from littoral.streams.create import check_budget, check_record_sizes, create, delete, parse_creation
from littoral.streams.expiry import Expiry
from littoral.streams.live import LiveReaders
from littoral.streams.slices import Slice, read_slice, resolve_position
from littoral.wire.durable_streams import (
    NOW,
    REQUEST_HEADERS,
    STREAM_CURSOR,
    STREAM_EXPIRES_AT,
    STREAM_SSE_DATA_ENCODING,
    STREAM_TTL,
    entity_tag,
    is_text,
    parse_position,
    tag_matches,
)
from littoral.wire.stream_budget import BUDGET_HEADERS
from littoral.wire.subscriptions import RESERVED

PREFIX = "/v1/streams/"
OWN_PREFIX = "/v1/stream/"
"""Short for this node's own streams: the address that clients of the protocol are used to."""
READ_METHODS = ("GET", "HEAD", "OPTIONS")
WRITE_METHODS = ("PUT", "POST", "DELETE")
EXPIRE_EVERY_S = 30.0
FRESH_S = 60
STALE_S = 300
"""How long a private cache may hold a slice, and show it while it asks again: the protocol's advice."""


class StreamServer:
    """Serves the streams of one store."""

    def __init__(self, store: Store, clock: Clock, random: Random, limits: Limits, scheme: str = "http") -> None:
        """scheme: how clients reach this server; a Location header repeats it."""
        self._store = store
        self._limits = limits
        self._scheme = scheme
        self._expiry = Expiry(clock)
        self.readers = LiveReaders(store, clock, random, limits, self._expiry)

    async def handle(self, request: Request) -> AnyResponse:
        """Answer a request whose path begins with PREFIX. Refusals are answers too: nothing is raised for them."""
        try:
            return await self._dispatch(request)
        except LittoralError as error:
            return problem(error)

    async def _dispatch(self, request: Request) -> AnyResponse:
        name = self.stream_at(request.path)
        if name.path.partition("/")[0] == RESERVED:
            raise NotFound("serve", request.path, "no stream has such a name; it is a control address of subscriptions")
        if request.method not in READ_METHODS:
            self._check_writable(request, name)
        match request.method:
            case "GET":
                return await self._get(name, request)
            case "HEAD":
                return self._head(self._existing("read stream", name))
            case "PUT":
                return await self._put(name, request)
            case "POST":
                return await self._post(name, request)
            case "DELETE":
                return await self._delete(name)
            case _:
                return self._options(name)

    def stream_at(self, path: str) -> StreamName:
        """Which stream the path of a URL means. Raises InvalidInput."""
        if path.startswith(OWN_PREFIX):
            return StreamName(self._store.node, check_stream_path(path.removeprefix(OWN_PREFIX)))
        if not path.startswith(PREFIX):
            raise InvalidInput("find stream", path[:120], f"its path begins with {PREFIX} or {OWN_PREFIX}")
        return parse_stream_name(path.removeprefix(PREFIX))

    def _check_writable(self, request: Request, name: StreamName) -> None:
        if request.method not in WRITE_METHODS:
            raise MethodNotAllowed(request.method, str(name), "a stream has PUT, POST, GET, HEAD and DELETE")
        if name.path.partition("/")[0] in SYSTEM_STREAMS:
            raise Forbidden(
                request.method, str(name), "Littoral writes this stream itself", "Choose another name for your own"
            )
        if name.origin != self._store.node:
            raise MethodNotAllowed(
                request.method, str(name), f"this is a copy on {self._store.node}", f"Send it to {name.origin}"
            )
        most = self._limits[API_BODY_BYTES]
        if len(request.body) > most:
            self._limits.hit(API_BODY_BYTES)
            raise TooLarge(
                request.method, str(name), f"a body of {len(request.body)} bytes; at most {most} are allowed"
            )

    def _existing(self, operation: str, name: StreamName) -> StreamInfo:
        info = self._store.stream(name)
        if info is None or self._expiry.is_over(info):
            if self._store.is_held(name):
                raise Gone(operation, str(name), "it was deleted; only its forks are still read")
            raise NotFound(operation, str(name), "there is no such stream on this node")
        return info

    # Writing

    async def _put(self, name: StreamName, request: Request) -> Response:
        asked = parse_creation(name, request.headers, request.body, self.stream_at)
        check_record_sizes(name, asked.records or [], self._limits)
        check_budget(name, asked.budget, self._limits, may_spill=self._store.bounds.spill is not None)
        created = await self._store.submit(lambda tx: create(tx, asked, self._expiry, self._limits))
        self._expiry.use(created.info)
        headers: Headers = (("Content-Type", created.info.content_type), *tail_headers(created.info), *NO_STORE)
        if not created.new:
            return answer(200, headers)
        host = request.headers.get("host")
        location = f"{self._scheme}://{host}{request.path}" if host else request.path
        return answer(201, (("Location", location), *headers))

    async def _post(self, name: StreamName, request: Request) -> Response:
        info = self._existing("append to stream", name)
        asked = parse_append(name, request.headers, request.body)
        check_record_sizes(name, asked.records, self._limits)
        response = await self._store.submit(lambda tx: append(tx, asked, self._expiry, self._limits))
        self._expiry.use(info)
        return response

    async def _delete(self, name: StreamName) -> Response:
        self._existing("delete stream", name)
        await self._store.submit(lambda tx: delete(tx, name))
        self._expiry.forget(name)
        return answer(204)

    async def run(self, warn: Callable[[str], None]) -> None:
        """Remove what is over, now and then, until cancelled. warn: told in words when the disk refuses; it is tried
        again."""
        while True:
            await asyncio.sleep(EXPIRE_EVERY_S)
            try:
                await self.remove_expired()
            except LittoralError as error:
                warn(str(error))

    async def remove_expired(self) -> int:
        """Delete the own streams whose lifetime is over (nobody sees them any more); returns how many they were."""
        over = [
            info for info in self._store.heads() if info.name.origin == self._store.node and self._expiry.is_over(info)
        ]

        def job(tx: Transaction) -> None:
            for info in over:
                latest = tx.stream(info.name)
                if latest is not None and self._expiry.is_over(latest):
                    delete(tx, info.name)

        if over:
            await self._store.submit(job)
        for info in over:
            self._expiry.forget(info.name)
        return len(over)

    # Reading

    def _head(self, info: StreamInfo) -> Response:
        lifetime: list[tuple[str, str]] = []
        if info.ttl_s is not None:
            lifetime.append((STREAM_TTL, str(info.ttl_s)))
        if info.expires_at is not None:
            lifetime.append((STREAM_EXPIRES_AT, info.expires_at))
        return answer(200, (("Content-Type", info.content_type), *tail_headers(info), *lifetime, *NO_STORE))

    async def _get(self, name: StreamName, request: Request) -> AnyResponse:
        live = request.query.get("live")
        token = request.query.get("offset")
        position = parse_position(token)
        if live not in {None, "long-poll", "sse"}:
            raise InvalidInput("read stream", str(name), f"live={live[:40]!r} is neither long-poll nor sse")
        if live is not None and token is None:
            raise InvalidInput(
                "follow stream", str(name), "the offset is missing", "Add offset=-1, now or one received"
            )
        info = self._existing("read stream", name)
        self._expiry.use(info)
        offset = resolve_position(info, position)
        if live == "sse":
            return self._events(info, offset, request)
        if live == "long-poll":
            return await self._long_poll(info, offset, request)
        piece = read_slice(self._store, info, offset, self._limits)
        if position == NOW:
            headers = (("Content-Type", info.content_type), *slice_headers(piece), *NO_STORE)
            return answer(200, headers, piece.body(info.content_type))
        return self._cacheable(info, piece, request)

    def _events(self, info: StreamInfo, offset: int, request: Request) -> StreamingResponse:
        self.readers.check_room(info)
        read_slice(self._store, info, offset, self._limits)  # An offset that retention took is a 410 now, not a cut.
        encoding = () if is_text(info.content_type) else ((STREAM_SSE_DATA_ENCODING, "base64"),)
        headers = (*SAFETY, ("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache"), *encoding)
        return StreamingResponse(200, headers, self.readers.events(info, offset, request.query.get("cursor")))

    async def _long_poll(self, info: StreamInfo, offset: int, request: Request) -> Response:
        if offset == info.next and not info.closed:
            info = await self._wait(info, offset)
        piece = read_slice(self._store, info, offset, self._limits)
        cursor = () if piece.at_end else ((STREAM_CURSOR, self.readers.cursor(request.query.get("cursor"))),)
        if not piece.records:
            return answer(204, (*slice_headers(piece), *cursor, *NO_STORE))
        return self._cacheable(info, piece, request, cursor)

    async def _wait(self, info: StreamInfo, offset: int) -> StreamInfo:
        """The stream once it is longer than `offset`, closed, or LONG_POLL_S have passed. Raises NotFound."""
        with self.readers.admitted(info):
            try:
                async with asyncio.timeout(self._limits[LONG_POLL_S]):
                    with while_client_waits():
                        await self._store.wait(info.name, offset)
            except TimeoutError:
                pass
        latest = self._existing("follow stream", info.name)
        if latest.id != info.id:
            raise NotFound("follow stream", str(info.name), "it was deleted; there is another of its name now")
        return latest

    def _cacheable(self, info: StreamInfo, piece: Slice, request: Request, cursor: Headers = ()) -> Response:
        identity = f"{info.lineage}.{info.id}.{info.created_ms}"
        tag = entity_tag(identity, piece.first, piece.next, closed=piece.at_end)
        headers = (*slice_headers(piece), ("ETag", tag), ("Cache-Control", self._freshness(info)), *cursor)
        if tag_matches(request.headers.get("if-none-match"), tag):
            return answer(304, headers)
        return answer(200, (("Content-Type", info.content_type), *headers), piece.body(info.content_type))

    def _freshness(self, info: StreamInfo) -> str:
        """Private, because who may read was decided for this client; never longer than the stream lives."""
        left_ms = self._expiry.left_ms(info)
        if left_ms is None:
            return f"private, max-age={FRESH_S}, stale-while-revalidate={STALE_S}"
        return f"private, max-age={max(0, min(FRESH_S, left_ms // 1000))}"

    def _options(self, name: StreamName) -> Response:
        """Which methods and headers exist. Which sites a browser lets in is the listener's to say."""
        own = name.origin == self._store.node
        methods = ", ".join((*READ_METHODS, *(WRITE_METHODS if own else ())))
        headers = (
            ("Allow", methods),
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", ", ".join((*REQUEST_HEADERS, *BUDGET_HEADERS))),
        )
        return answer(204, headers)
