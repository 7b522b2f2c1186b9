"""The module `js` of Pyodide, as far as published Python Workers use it: JavaScript's names, with Python underneath.

There is no JavaScript here. Each name is what a Worker written in Python does with it; a name that is not in `names()`
raises UnknownName, which lists those that are.
"""

import importlib
from typing import Any, NoReturn

from littoral.workers.blob import Blob as _Blob
from littoral.workers.blob import File as _File
from littoral.workers.caches import Caches
from littoral.workers.js import clock, text, values, web
from littoral.workers.js.printing import Console
from littoral.workers.missing import NotSupported
from littoral.workers.streams import FixedLengthStream, IdentityTransformStream, ReadableStream, TransformStream
from littoral.workers.subrequests import request_of, send


class UnknownName(ImportError):
    """Code asks for a name of JavaScript that is not here."""


class Blob(_Blob):
    """A blob, made as in JavaScript."""

    __slots__ = ()

    @classmethod
    def new(cls, parts: Any = (), options: Any = None, **more: Any) -> "Blob":
        """As JavaScript's constructor."""
        return cls(parts, {**(options or {}), **more}.get("type"))


class File(_File):
    """A file, made as in JavaScript."""

    __slots__ = ()

    @classmethod
    def new(cls, parts: Any, name: str, options: Any = None, **more: Any) -> "File":
        """As JavaScript's constructor."""
        given = {**(options or {}), **more}
        return cls(parts, name, given.get("type"), last_modified=given.get("lastModified"))


async def fetch(resource: Any, init: Any = None, **options: Any) -> web.Response:
    """The answer to a request. Raises as `workers.fetch`."""
    if isinstance(init, web.Request):
        like = {"method": init.method, "headers": init.headers, "redirect": init.redirect, "signal": init.signal}
        init = {**like, "body": init.body}
    given = {**(init or {}), **options}
    known = {name: given[name] for name in ("method", "headers", "body", "redirect", "cf") if name in given}
    response = await send(request_of(resource, known), web.Response, given.get("signal"))
    response.headers = web.Headers.received(response.headers._items)
    return response


def _not_supported(what: str, instead: str) -> type:
    def new(*arguments: object, **options: object) -> NoReturn:
        raise NotSupported(what, instead)

    return type(what, (), {"new": staticmethod(new)})


_EVENTS = "Answer with a stream of events (text/event-stream)"
_NAMES: dict[str, Any] = {
    "Array": values.JsArray,
    "ArrayBuffer": values.Uint8Array,
    "Blob": Blob,
    "Date": clock.Date,
    "Error": RuntimeError,
    "File": File,
    "FixedLengthStream": FixedLengthStream,
    "FormData": web.FormData,
    "HTMLRewriter": _not_supported("HTMLRewriter", "Use html.parser or a library like selectolax"),
    "Headers": web.Headers,
    "IdentityTransformStream": IdentityTransformStream,
    "JSON": values.JSON,
    "Object": values.Object,
    "ReadableStream": ReadableStream,
    "Request": web.Request,
    "Response": web.Response,
    "TextDecoder": text.TextDecoder,
    "TextEncoder": text.TextEncoder,
    "TransformStream": TransformStream,
    "Uint8Array": values.Uint8Array,
    "atob": text.atob,
    "btoa": text.btoa,
    "caches": Caches(web.Response, web.Headers),
    "clearTimeout": clock.clear_timeout,
    "console": Console(),
    "crypto": text.Crypto(),
    "decodeURIComponent": text.decode_uri_component,
    "encodeURIComponent": text.encode_uri_component,
    "fetch": fetch,
    "performance": clock.Performance(),
    "queueMicrotask": clock.queue_microtask,
    "setTimeout": clock.set_timeout,
    "undefined": None,
}
_ON_DEMAND = {
    "AbortController": "abort",
    "AbortSignal": "abort",
    "URL": "url",
    "URLPattern": "url_pattern",
    "URLSearchParams": "url",
    "WebSocket": "js.sockets",
    "WebSocketPair": "web_socket",
}
"""Loaded when they are asked for: they cost memory."""


def names() -> list[str]:
    """Every name there is."""
    return sorted({*_NAMES, *_ON_DEMAND})


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return _NAMES[name]
    if name in _ON_DEMAND:
        return getattr(importlib.import_module(f"littoral.workers.{_ON_DEMAND[name]}"), name)
    if name.startswith("__"):
        raise AttributeError(f"module 'js' has no attribute {name!r}")
    raise UnknownName(
        f"js has no {name!r} here: there is no JavaScript under a function. There are: {', '.join(names())}", name="js"
    )


def __dir__() -> list[str]:
    return names()
