"""The request a function is called with."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from littoral.workers.headers import Headers


class Request:
    """An HTTP request. Its body is complete; the coroutines mirror the interface of Workers."""

    __slots__ = ("_body", "_query", "headers", "id", "method", "url")

    def __init__(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Headers | Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        body: str | bytes = b"",
        id: str = "",  # noqa: A002 - the word used everywhere for it
    ) -> None:
        """url: absolute. id: the request's id in logs and problem details; given by the gateway."""
        self.method = method
        self.url = url
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.id = id
        self._body = body.encode() if isinstance(body, str) else body
        self._query: dict[str, str] | None = None

    @classmethod
    def received(cls, method: str, url: str, headers: list[tuple[str, str]], body: bytes, id: str) -> "Request":  # noqa: A002
        """A request as the gateway passed it: checked already."""
        request = cls.__new__(cls)
        request.method = method
        request.url = url
        request.headers = Headers.received(headers)
        request.id = id
        request._body = body
        request._query = None
        return request

    @property
    def path(self) -> str:
        """The path of `url`, percent-encoded as it was sent."""
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, decoded; of a repeated one the last."""
        if self._query is None:
            self._query = dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))
        return self._query

    async def bytes(self) -> bytes:
        """The body."""
        return self._body

    async def text(self) -> str:
        """The body as UTF-8; what is none is replaced, as the Fetch standard has it."""
        return self._body.decode("utf-8", "replace")

    async def json(self) -> Any:
        """The body decoded. Raises json.JSONDecodeError."""
        return json.loads(self._body)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"
