"""The response a function returns."""

import json as _json
from collections.abc import Iterable, Mapping
from typing import Any

from littoral.workers.headers import Headers

_REDIRECTS = (301, 302, 303, 307, 308)


class Response:
    """A whole HTTP response."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        body: str | bytes | bytearray | memoryview | None = None,
        status: int = 200,
        headers: Headers | Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    ) -> None:
        """A `str` body is sent as UTF-8 text unless `headers` names a content type.

        Raises: ValueError for a status outside 200-599, TypeError for another type of body.
        """
        if not 200 <= status <= 599:
            raise ValueError(f"status {status} is outside 200-599")
        self.status = int(status)
        self.headers = Headers(headers)
        if isinstance(body, str):
            self.body = body.encode()
            if "content-type" not in self.headers:
                self.headers.append("content-type", "text/plain;charset=UTF-8")
        elif body is None or isinstance(body, bytes | bytearray | memoryview):
            self.body = bytes(body or b"")
        else:
            raise TypeError(f"a response's body is str, bytes or None, not {type(body).__name__}")

    @classmethod
    def json(
        cls,
        data: Any,
        status: int = 200,
        headers: Headers | Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    ) -> "Response":
        """`data` as JSON. Raises TypeError for what JSON cannot hold."""
        response = cls(_json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(), status, headers)
        if "content-type" not in response.headers:
            response.headers.append("content-type", "application/json")
        return response

    from_json = json

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> "Response":
        """Send the client to `url`. Raises ValueError for a status that is no redirect."""
        if status not in _REDIRECTS:
            raise ValueError(f"status {status} is no redirect; it is one of {_REDIRECTS}")
        return cls(None, status, {"location": url})

    def __repr__(self) -> str:
        return f"<Response {self.status} {len(self.body)} bytes>"
