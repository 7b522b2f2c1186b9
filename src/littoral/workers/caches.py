"""`caches`: the Cache API of Workers. Each app has caches of its own."""

from typing import Any
from urllib.parse import urldefrag

from littoral.workers import platform
from littoral.workers.binding import BindingCaller, BindingError
from littoral.workers.headers import Headers
from littoral.workers.missing import NotSupported
from littoral.workers.request import Request
from littoral.workers.response import Response

NAME_MOST = 128
DEFAULT = "default"


class CacheError(BindingError):
    """A call of a cache failed; the message says why and what to do."""


class Cache:
    """Responses by the URLs of GET requests. What is stored is used as its Cache-Control or Expires says, and no longer."""

    __slots__ = ("_kinds", "_name")

    def __init__(self, name: str, kinds: tuple[type[Response], type[Headers]]) -> None:
        """kinds: what is found is given as."""
        self._name = name
        self._kinds = kinds

    async def match(self, request: str | Request, options: Any = None, **named: Any) -> Response | None:
        """What is stored for a request, or None. If-None-Match, If-Modified-Since and Range of the request are heeded: 304, 206.

        Options: `ignoreMethod`, for another method than GET. Raises CacheError.
        """
        asked = request if isinstance(request, Request) else Request(request)
        if asked.method != "GET" and not {**(options or {}), **named}.get("ignoreMethod"):
            return None
        found = await cache_caller()("match", self._name, [_url(asked), asked.headers.items()])
        if found is None:
            return None
        status, fields, body = found
        kind, headers = self._kinds
        response = kind(body if status != 304 else None)
        response.status = status
        response.headers = headers.received([(name, value) for name, value in fields])
        return response

    async def put(self, request: str | Request, response: Response) -> None:
        """Store a response; its body is read by that. What its fields say is not to be stored is not, nor is what sets
        cookies, unless it says `Cache-Control: private=Set-Cookie`.

        Raises TypeError for another method than GET, a part (206), or one that varies by everything (`Vary: *`); CacheError.
        """
        asked = request if isinstance(request, Request) else Request(request)
        if asked.method != "GET":
            raise TypeError(f"a cache stores answers to GET, not to {asked.method}")
        if response.status == 206:
            raise TypeError("a cache does not store parts (status 206)")
        if "*" in [each.strip() for each in (response.headers.get("vary") or "").split(",")]:
            raise TypeError("a cache does not store what varies by everything (Vary: *)")
        body = await response.bytes()
        arguments = [_url(asked), asked.headers.items(), response.status, response.headers.items(), body]
        await cache_caller()("put", self._name, arguments)

    async def delete(self, request: str | Request, options: Any = None, **named: Any) -> bool:
        """Remove what is stored for a request; whether there was anything. Options: `ignoreMethod`. Raises CacheError."""
        asked = request if isinstance(request, Request) else Request(request)
        if asked.method != "GET" and not {**(options or {}), **named}.get("ignoreMethod"):
            return False
        return bool(await cache_caller()("delete", self._name, [_url(asked)]))


class Caches:
    """The caches of this app."""

    __slots__ = ("_kinds",)

    def __init__(self, kind: type[Response] = Response, headers: type[Headers] = Headers) -> None:
        self._kinds = (kind, headers)

    @property
    def default(self) -> Cache:
        """The one that needs no name."""
        return Cache(DEFAULT, self._kinds)

    async def open(self, name: str) -> Cache:
        """The one of that name; it need not be made. Raises TypeError for a name that is none."""
        if not 0 < len(name) <= NAME_MOST:
            raise TypeError(f"a cache's name is text of 1 to {NAME_MOST} characters")
        # So that none is the default one.
        return Cache(f"named {name}", self._kinds)


caches = Caches()


def cache_caller() -> BindingCaller:
    """The way to the node. Raises NotSupported outside of a worker."""
    caller = platform.cache_caller()
    if caller is None:
        raise NotSupported("caches", "They work within a worker, once the app is imported")
    return caller


def _url(request: Request) -> str:
    return urldefrag(request.url).url
