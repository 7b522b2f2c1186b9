"""The request a function is called with, or makes."""

from http import HTTPMethod
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from littoral.workers.abort import AbortSignal
from littoral.workers.body import Body, BodyInit, extract
from littoral.workers.headers import Headers, HeadersInit
from littoral.workers.streams import ReadableStream


class Request(Body):
    """An HTTP request.

    `body` is a stream; `bytes()`, `text()`, `json()`, `buffer()`, `blob()` and `form_data()` read it whole, once.
    """

    __slots__ = ("_cf", "_redirect", "_signal", "id", "method", "subrequests", "url")

    url: str
    method: str
    id: str
    """The request's id in logs and problem details."""
    subrequests: Any
    """What is known of the requests that are made for its sake; not there before the first."""
    _cf: Any
    _redirect: str
    _signal: AbortSignal | None

    def __init__(
        self,
        url: "str | Request",
        *,
        method: str | HTTPMethod | None = None,
        headers: HeadersInit = None,
        body: BodyInit = None,
        redirect: str | None = None,
        cf: Any = None,
        id: str = "",  # noqa: A002 - the word used everywhere for it
    ) -> None:
        """url: absolute, or a request to take everything from that is not given. redirect: "follow", "manual" or
        "error". cf: what Workers keep there. id: the request's id in logs and problem details; given by the gateway.

        Raises TypeError for a body with GET or HEAD, ValueError for headers that HTTP does not allow, BodyUsedError.
        """
        like = url if isinstance(url, Request) else None
        self.url = like.url if like is not None else str(url)
        self.method = str(method).upper() if method is not None else "GET" if like is None else like.method
        self.headers = Headers(like.headers if headers is None and like is not None else headers)
        self.id = id or ("" if like is None else like.id)
        self._redirect = redirect or ("follow" if like is None else like.redirect)
        self._cf = cf if cf is not None or like is None else like._cf
        if body is None and like is not None:
            self._body = like._copied_body()
            return
        self._body, content_type = extract(body)
        if self._body is not None and self.method in ("GET", "HEAD"):
            raise TypeError(f"a request with method {self.method} cannot have a body")
        if content_type is not None and "content-type" not in self.headers:
            self.headers.append("content-type", content_type)

    @classmethod
    def received(
        cls,
        method: str,
        url: str,
        headers: list[tuple[str, str]] | Headers,
        body: bytes | ReadableStream,
        id: str,  # noqa: A002
    ) -> Self:
        """A request as the gateway passed it: checked already."""
        request = cls.__new__(cls)
        request.method = method
        request.url = url
        request.headers = headers if isinstance(headers, Headers) else Headers.received(headers)
        request.id = id
        request._body = body
        request._cf = None
        return request

    @property
    def path(self) -> str:
        """The path of `url`, percent-encoded as it was sent."""
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, decoded; of a repeated one the last."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def client_address(self) -> str:
        """The address from which the gateway was asked; "" where it is not known. What proxies before it claim is in
        X-Forwarded-For."""
        return (self.headers.get("x-forwarded-for") or "").rpartition(",")[2].strip()

    @property
    def redirect(self) -> str:
        """What a fetch of it does with a redirect: "follow", "manual" or "error"."""
        return getattr(self, "_redirect", "manual")

    @property
    def signal(self) -> AbortSignal:
        """Is aborted when the client goes away before its answer is complete."""
        signal: AbortSignal | None = getattr(self, "_signal", None)
        if signal is None:
            signal = self._signal = AbortSignal()
        return signal

    def client_left(self) -> None:
        """Called by the platform when the client has gone away."""
        self.signal._abort()

    @property
    def cf(self) -> Any:
        """What Workers tell of the connection, as far as a node knows it: what it does not know is None. None for a request
        that no gateway has passed."""
        if self._cf is None and "via" in self.headers:
            # Loaded by functions that use it only.
            from littoral.workers.connection_facts import facts_of  # noqa: PLC0415

            self._cf = facts_of(self.headers)
        return self._cf

    @property
    def js_object(self) -> "Request":
        """The same request, as code written against JavaScript's interface expects it."""
        # Loaded by functions that use it only.
        from littoral.workers.js.web import Request as JsRequest  # noqa: PLC0415

        return JsRequest.of(self)

    def clone(self) -> Self:
        """The same request again, its body included. Raises BodyUsedError where that was read."""
        copy = type(self).received(self.method, self.url, self.headers.items(), b"", self.id)
        copy._cf = self._cf
        copy._redirect = self.redirect
        copy._signal = self.signal
        copy._body = self._copied_body()
        return copy

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"
