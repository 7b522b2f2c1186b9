"""WSGI applications as entry points (PEP 3333).

    from workers import WorkerEntrypoint, wsgi

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return await wsgi.fetch(app, request, self.env)

The application runs in the worker's event loop, one request at a time in a worker: what else the node answers
meanwhile, other workers do. A request whose body is still on its way when the application is called, and says how long it is, has
a thread (`wsgi_thread`). `environ["workers.env"]` is the app's bindings.
"""

import io
import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import IO, Any
from urllib.parse import unquote_to_bytes, urlsplit

from littoral.workers.entrypoint import Context
from littoral.workers.headers import Headers
from littoral.workers.request import Request
from littoral.workers.response import WITHOUT_BODY, Response
from littoral.workers.streams import ReadableStream

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_PORTS = {"http": "80", "https": "443"}
_FIELDS_OF_THEIR_OWN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


async def fetch(app: Application, request: Request, env: Any, ctx: Context | None = None) -> Response:
    """The application's response to `request`. Raises what the application raises before its response begins."""
    length = request.headers.get("content-length")
    if isinstance(request._body, ReadableStream) and length is not None and not request.body_used:
        return await _fetch_streamed(app, request, env, length)
    body = await request.bytes()
    begun = _Begun(app, environ(request, env, io.BytesIO(body), str(len(body))))

    async def more() -> bytes | None:
        return next(begun.rest, None)

    return begun.response(more, begun.close)


async def _fetch_streamed(app: Application, request: Request, env: Any, length: str) -> Response:
    # Loaded by applications only that are sent much.
    from littoral.workers.wsgi_thread import CallThread, turn  # noqa: PLC0415

    assert request.body is not None
    async with turn():
        thread = CallThread(request.body)
        try:
            begun = await thread.run(_Begun, app, environ(request, env, thread.input, length))
        except BaseException:
            thread.end(lambda: None)
            raise

    return begun.response(partial(thread.run, next, begun.rest, None), partial(thread.end, begun.close))


class _Begun:
    """An application that has been called, and has said how its response begins."""

    def __init__(self, app: Application, told: dict[str, Any]) -> None:
        """Calls it. Raises what it raises."""
        start = _Start()
        self._pieces = app(told, start)
        self.rest = iter(self._pieces)
        try:
            # An application may wait with start_response until its first piece.
            first = next((piece for piece in self.rest if piece), b"")
            if start.status is None:
                raise RuntimeError("the WSGI application did not call start_response")
            self.begin = b"".join(start.written) + first
            status, _, self._reason = start.status.partition(" ")
            self._status, self._headers = int(status), start.headers
            has_body = self._status not in WITHOUT_BODY
            self.is_whole = isinstance(self._pieces, list | tuple) or not has_body
            """Whether `begin` is all there is."""
            if self.is_whole:
                self.begin = self.begin + b"".join(self.rest) if has_body else b""
        except BaseException:
            self.close()
            raise

    def response(self, more: Callable[[], Awaitable[bytes | None]], end: Callable[[], object]) -> Response:
        """What the client is given. more: gives the next of `rest`. end: has `close` called."""
        body: bytes | ReadableStream | None = self.begin or None
        if self.is_whole:
            end()
        else:
            body = ReadableStream(_Pieces(self.begin, more, end))
        return Response(body, self._status, self._reason, self._headers)

    def close(self) -> None:
        """The specification has who iterates call it, whatever happened."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


class _Pieces:
    """A body as it is iterated over. Its end is told once, though nobody may have begun."""

    def __init__(self, begin: bytes, more: Callable[[], Awaitable[bytes | None]], end: Callable[[], object]) -> None:
        self._begin = begin
        self._more = more
        self._end: Callable[[], object] | None = end

    def __aiter__(self) -> "_Pieces":
        return self

    async def __anext__(self) -> bytes:
        if begin := self._begin:
            self._begin = b""
            return begin
        try:
            piece = await self._more() if self._end is not None else None
        except BaseException:
            await self.aclose()
            raise
        if piece is None:
            await self.aclose()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Nobody wants the rest."""
        end, self._end = self._end, None
        if end is not None:
            end()


class _Start:
    """The application's `start_response`."""

    def __init__(self) -> None:
        self.status: str | None = None
        self.headers = Headers()
        self.written: list[bytes] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        if self.status is not None and exc_info is None:
            raise RuntimeError("the WSGI application called start_response twice")
        self.status = status
        self.headers = Headers(headers)
        return self.written.append


def environ(request: Request, env: Any, body: IO[bytes], length: str) -> dict[str, Any]:
    """What the application is told of the request."""
    url = urlsplit(request.url)
    told: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        # Bytes in a str: as the specification has it.
        "PATH_INFO": unquote_to_bytes(url.path or "/").decode("latin-1"),
        "QUERY_STRING": url.query.encode().decode("latin-1"),
        "SERVER_NAME": url.hostname or "localhost",
        "SERVER_PORT": str(url.port or _PORTS.get(url.scheme, "")),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.client_address,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "workers.env": env,
    }
    for name, value in request.headers.items():
        # A hyphen becomes an underscore; a field that had one already would pass for another field.
        if "_" not in name:
            key = _FIELDS_OF_THEIR_OWN.get(name) or "HTTP_" + name.upper().replace("-", "_")
            separator = "; " if name == "cookie" else ","
            told[key] = f"{told[key]}{separator}{value}" if key in told else value
    told["CONTENT_LENGTH"] = length
    return told
