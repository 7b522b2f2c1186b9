"""The response a function returns."""

from collections.abc import Callable
from http import HTTPStatus
from json import JSONEncoder
from typing import TYPE_CHECKING, Any, Self, overload

from littoral.workers.body import TEXT, Body, BodyInit, BodyUsedError, extract
from littoral.workers.buffers import Bytes
from littoral.workers.headers import Headers, HeadersInit
from littoral.workers.streams import ReadableStream

if TYPE_CHECKING:
    from littoral.workers.web_socket import WebSocket

_REDIRECTS = (301, 302, 303, 307, 308)
WITHOUT_BODY = (204, 205, 304)
"""Statuses of responses that have no body."""

# Made once: json.dumps makes one for each call with options.
_encode_json = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Json:
    """`json`: on the class, makes a response of data; on a response, reads its body."""

    @overload
    def __get__(self, response: None, cls: "type[Response]") -> "Callable[..., Response]": ...
    @overload
    def __get__(self, response: "Response", cls: "type[Response]") -> "Callable[..., Any]": ...
    def __get__(self, response: "Response | None", cls: "type[Response]") -> Callable[..., Any]:
        return cls.from_json if response is None else response._read_json


class Response(Body):
    """An HTTP response.

    `body` is a stream; `bytes()`, `text()`, `json()`, `buffer()`, `blob()` and `form_data()` read it whole, once.
    """

    __slots__ = ("_web_socket", "status", "status_text", "url", "was_redirected")

    _web_socket: "WebSocket | None"
    was_redirected: bool

    def __init__(
        self,
        body: BodyInit = None,
        status: int | HTTPStatus | None = None,
        status_text: str = "",
        headers: HeadersInit = None,
        web_socket: "WebSocket | None" = None,
    ) -> None:
        """A `str` body is sent as UTF-8 text unless `headers` names a content type. web_socket: the end of a WebSocketPair
        that the client is to have, with status 101.

        Raises: ValueError for a status outside 200-599, and for 101 without a WebSocket; TypeError for another type of body,
        or one with a status that has none.
        """
        if web_socket is not None:
            status = 101 if status is None else status
            self._web_socket = web_socket
        if web_socket is not None or (status is not None and status != 200):
            self._check(200 if status is None else status, body, web_socket)
        self.status = 200 if status is None else int(status)
        self.status_text = status_text
        self.url = ""
        if headers is None and type(body) is str:
            self._body = body.encode()
            self.headers = Headers.received([("content-type", TEXT)])
            return
        self._body, content_type = extract(body)
        self.headers = Headers(headers)
        if content_type is not None and "content-type" not in self.headers:
            self.headers._items.append(("content-type", content_type))

    @staticmethod
    def _check(status: int, body: object, web_socket: object) -> None:
        if web_socket is not None and status != 101:
            raise ValueError(f"a response with a WebSocket has status 101, not {int(status)}")
        if status == 101 and web_socket is None:
            raise ValueError("a response with status 101 has a WebSocket: web_socket=...")
        if not 200 <= status <= 599 and status != 101:
            raise ValueError(f"status {status} is outside 200-599")
        if status in (*WITHOUT_BODY, 101) and body is not None and body not in ("", b""):
            raise TypeError(f"a response with status {int(status)} has no body")

    json = _Json()
    """`Response.json(data, status, status_text, headers)` makes a response, as `from_json`; `await response.json()` reads
    its body, as `Request.json`."""

    @classmethod
    def from_json(
        cls, data: Any, status: int | HTTPStatus = 200, status_text: str = "", headers: HeadersInit = None
    ) -> Self:
        """`data` as JSON. Raises TypeError for what JSON cannot hold."""
        body = _encode_json(data).encode()
        response = cls(body, status, status_text, headers)
        if headers is None or "content-type" not in response.headers:
            response.headers._items.append(("content-type", "application/json"))
        return response

    @classmethod
    def redirect(cls, url: str, status: int | HTTPStatus = 302) -> Self:
        """Send the client to `url`. Raises ValueError for a status that is no redirect."""
        if status not in _REDIRECTS:
            raise ValueError(f"status {status} is no redirect; it is one of {_REDIRECTS}")
        return cls(None, status, headers={"location": str(url)})

    @property
    def ok(self) -> bool:
        """Whether the status is 200-299."""
        return 200 <= self.status <= 299

    @property
    def statusText(self) -> str:
        """The words beside the status."""
        return self.status_text

    @property
    def redirected(self) -> bool:
        """Whether a fetch followed a redirect to it."""
        return getattr(self, "was_redirected", False)

    @property
    def type(self) -> str:
        """Always "default": there are no origins to protect from each other here."""
        return "default"

    @property
    def web_socket(self) -> "WebSocket | None":
        """The client's end of a WebSocket, or None."""
        return getattr(self, "_web_socket", None)

    webSocket = web_socket

    @property
    def js_object(self) -> "Response":
        """The same response, as code written against JavaScript's interface expects it."""
        # Loaded by functions that use it only.
        from littoral.workers.js.web import Response as JsResponse  # noqa: PLC0415

        return JsResponse.of(self)

    def replace_body(self, body: BodyInit) -> Self:
        """A response with the same status and fields, and another body."""
        return type(self)(body, self.status, self.status_text, self.headers)

    def clone(self) -> Self:
        """The same response again, its body included. Raises BodyUsedError where that was read."""
        if self.web_socket is not None:
            raise TypeError("a response with a WebSocket cannot be cloned")
        copy = type(self)(None, self.status, self.status_text, self.headers)
        copy.url = self.url
        copy._body = self._copied_body()
        return copy

    @property
    def whole(self) -> Bytes | None:
        """The body, if it need not be waited for."""
        body = self._body
        return body if type(body) is bytes else b"" if body is None else None

    def outgoing(self) -> ReadableStream:
        """The body, for who sends it. Raises BodyUsedError where it was read."""
        if self.body_used or (stream := self.body) is None:
            raise BodyUsedError
        return stream

    async def _read_json(self, **options: Any) -> Any:
        return await super().json(**options)

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.headers.get('content-type', '')}>"
