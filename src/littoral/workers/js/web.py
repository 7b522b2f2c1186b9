"""Request, Response, Headers and FormData with JavaScript's names and ways, for code written against Pyodide."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

from littoral.workers import form_data, headers, request, response
from littoral.workers.body import BodyInit
from littoral.workers.js.values import to_javascript


class Headers(headers.Headers):
    """Fields; iterating gives pairs."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items())


class FormData(form_data.FormData):
    """A form; iterating gives pairs."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items())


class Request(request.Request):
    """A request; `json` gives objects whose members are attributes."""

    __slots__ = ()

    @classmethod
    def new(cls, resource: Any, init: Any = None, **options: Any) -> Self:
        """As JavaScript's constructor. init: a mapping, or a request to take everything from but the URL."""
        if not isinstance(resource, request.Request):
            resource = str(resource)
        if isinstance(init, request.Request):
            given = {"method": init.method, "headers": init.headers, "redirect": init.redirect, "cf": init.cf}
            init = {**given, "body": init._copied_body() or None}
        given = {**_mapping(init), **options}
        known = {name: given[name] for name in ("method", "headers", "body", "redirect", "cf") if name in given}
        return cls(resource, **known)

    @classmethod
    def of(cls, other: request.Request) -> Self:
        """The same request, whose body both share until one of them reads it."""
        if isinstance(other, cls):
            return other
        same = cls.received(other.method, other.url, other.headers._items, b"", other.id)
        same.headers = Headers.received(other.headers._items)
        same._body = other.body or b""
        same._cf = other._cf
        same._redirect = other.redirect
        same._signal = other.signal
        return same

    async def json(self, **options: Any) -> Any:
        """The body decoded. Raises json.JSONDecodeError, BodyUsedError."""
        return to_javascript(await super().json(**options))

    async def formData(self) -> FormData:
        """The form in the body. Raises BodyUsedError, FormError."""
        return FormData((await super().form_data()).items())


class Response(response.Response):
    """A response; `json` gives objects whose members are attributes."""

    __slots__ = ()

    @classmethod
    def new(cls, body: BodyInit = None, init: Any = None, **options: Any) -> Self:
        """As JavaScript's constructor. init: a mapping, or a response to take status and fields from."""
        if isinstance(init, response.Response):
            init = {"status": init.status, "statusText": init.status_text, "headers": init.headers}
        given = {**_mapping(init), **options}
        text = given.get("statusText") or given.get("status_text") or ""
        made = cls(body, given.get("status"), text, given.get("headers"), given.get("webSocket"))
        made.headers = Headers.received(made.headers._items)
        return made

    @classmethod
    def of(cls, other: response.Response) -> Self:
        """The same response, whose body both share until one of them reads it."""
        if isinstance(other, cls):
            return other
        same = cls(None, other.status, other.status_text, web_socket=other.web_socket)
        same.headers = Headers.received(other.headers._items)
        same._body = other.body
        same.url = other.url
        return same

    @classmethod
    def from_json(cls, data: Any, init: Any = None, *more: Any, **options: Any) -> Self:  # type: ignore[override]
        """`data` as JSON. init: as for `new`, or the status."""
        given = {**({"status": init} if isinstance(init, int) else _mapping(init)), **options}
        text = given.get("statusText") or ""
        return super().from_json(data, given.get("status") or 200, text, given.get("headers"))

    @classmethod
    def error(cls) -> Self:
        """A response that stands for a failure of the network; here one of the gateway."""
        return cls(None, 502)

    async def _read_json(self, **options: Any) -> Any:
        return to_javascript(await super()._read_json(**options))


def _mapping(init: Any) -> Mapping[str, Any]:
    if init is None:
        return {}
    if not isinstance(init, Mapping):
        raise TypeError(f"options are a mapping, not {type(init).__name__}")
    return init
