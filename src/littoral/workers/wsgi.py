"""WSGI applications as entry points (PEP 3333).

    from workers import WorkerEntrypoint, wsgi

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return await wsgi.fetch(app, request, self.env)

The application runs in the worker's event loop, one request at a time in a worker: what else the node answers
meanwhile, other workers do. `environ["workers.env"]` is the app's bindings.
"""

import io
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any
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
    start = _Start()
    pieces = app(environ(request, env, await request.bytes()), start)
    iterator = iter(pieces)
    try:
        # An application may wait with start_response until its first piece.
        first = next((piece for piece in iterator if piece), b"")
        if start.status is None:
            raise RuntimeError("the WSGI application did not call start_response")
        begin = b"".join(start.written) + first
        if isinstance(pieces, list | tuple):
            body: bytes | ReadableStream = begin + b"".join(iterator)
        else:
            body = ReadableStream(_stream(begin, iterator, pieces))
    except BaseException:
        _close(pieces)
        raise
    status, _, reason = start.status.partition(" ")
    if isinstance(body, bytes) or int(status) in WITHOUT_BODY:
        _close(pieces)
        whole = body if isinstance(body, bytes) and int(status) not in WITHOUT_BODY else b""
        return Response(whole or None, int(status), reason, start.headers)
    return Response(body, int(status), reason, start.headers)


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


def environ(request: Request, env: Any, body: bytes) -> dict[str, Any]:
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
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
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
    told["CONTENT_LENGTH"] = str(len(body))
    return told


async def _stream(begin: bytes, rest: Iterator[bytes], pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    try:
        if begin:
            yield begin
        for piece in rest:
            yield piece
    finally:
        _close(pieces)


def _close(pieces: Iterable[bytes]) -> None:
    """The specification has who iterates call it, whatever happened."""
    close = getattr(pieces, "close", None)
    if close is not None:
        close()
