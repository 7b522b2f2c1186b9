"""URL and URLSearchParams (WHATWG URL Standard), by ada-url: parsing what browsers parse is a standard of its own."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ada_url


class URLSearchParams:
    """The parameters of a query, in order. Iterating gives pairs."""

    __slots__ = ("_params", "_url")

    def __init__(
        self,
        init: "str | Mapping[str, Any] | Iterable[tuple[str, Any]] | URLSearchParams" = "",
        url: "URL | None" = None,
    ) -> None:
        """url: whose query follows what is changed here."""
        self._url = url
        self._params = ada_url.URLSearchParams(init.removeprefix("?") if isinstance(init, str) else "")
        if not isinstance(init, str):
            for name, value in init.items() if isinstance(init, URLSearchParams | Mapping) else init:
                self._params.append(str(name), str(value))

    @classmethod
    def new(cls, init: Any = "") -> "URLSearchParams":
        """As JavaScript's constructor."""
        return cls(init)

    def get(self, name: str) -> str | None:
        """The first value of that name, or None."""
        return self._params.get(name) if self._params.has(name) else None

    def get_all(self, name: str) -> list[str]:
        """Every value of that name."""
        return self._params.get_all(name)

    getAll = get_all

    def has(self, name: str, value: str | None = None) -> bool:
        """Whether there is a parameter of that name, and of that value if one is given."""
        return bool(self._params.has(name, value))

    def set(self, name: str, value: object) -> None:
        """Replace every parameter of that name."""
        self._params.set(name, str(value))
        self._changed()

    def append(self, name: str, value: object) -> None:
        """Add a parameter beside those of the same name."""
        self._params.append(name, str(value))
        self._changed()

    def delete(self, name: str, value: str | None = None) -> None:
        """Remove every parameter of that name, or those of that value."""
        self._params.delete(name, value)
        self._changed()

    def sort(self) -> None:
        """Order them by name."""
        self._params.sort()  # type: ignore[no-untyped-call]
        self._changed()

    def keys(self) -> Iterator[str]:
        """The names."""
        return self._params.keys()

    def values(self) -> Iterator[str]:
        """The values."""
        return self._params.values()

    def items(self) -> Iterator[tuple[str, str]]:
        """The names with their values."""
        return self._params.items()

    entries = items

    @property
    def size(self) -> int:
        """How many there are."""
        return self._params.size

    def toString(self) -> str:
        """The query, without a question mark."""
        return str(self._params)

    def as_body(self) -> tuple[bytes, str | None]:
        """What it is in a request or response: a form."""
        return str(self).encode(), "application/x-www-form-urlencoded;charset=UTF-8"

    def _changed(self) -> None:
        if self._url is not None:
            self._url._url.search = str(self)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return self.items()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.has(name)

    def __len__(self) -> int:
        return self.size

    def __str__(self) -> str:
        return str(self._params)


class URL:
    """An absolute URL in its parts: href, protocol, username, password, host, hostname, port, pathname, search, hash; all
    of them can be set. `origin` cannot."""

    __slots__ = ("_search_params", "_url")

    def __init__(self, url: object, base: object = None) -> None:
        """Raises TypeError for what is no absolute URL, as in JavaScript."""
        try:
            self._url = ada_url.URL(str(url), None if base is None else str(base))
        except ValueError:
            raise TypeError(f"{str(url)!r} is no absolute URL") from None
        self._search_params: URLSearchParams | None = None

    @classmethod
    def new(cls, url: object, base: object = None) -> "URL":
        """As JavaScript's constructor."""
        return cls(url, base)

    @staticmethod
    def canParse(url: object, base: object = None) -> bool:
        """Whether it is an absolute URL."""
        return bool(ada_url.URL.can_parse(str(url), None if base is None else str(base)))

    @property
    def searchParams(self) -> URLSearchParams:
        """The parameters of the query. What is changed there is changed here."""
        if self._search_params is None:
            self._search_params = URLSearchParams(self.search, self)
        return self._search_params

    def toString(self) -> str:
        """The whole URL."""
        return str(self)

    toJSON = toString

    def __getattr__(self, name: str) -> Any:
        if name not in _PARTS:
            raise AttributeError(f"URL has no {name!r}; it has: {', '.join(_PARTS)}")
        return getattr(self._url, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _PARTS:
            setattr(self._url, name, str(value))
            if name in ("href", "search"):
                object.__setattr__(self, "_search_params", None)
        else:
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return str(self._url.href)

    def __repr__(self) -> str:
        return f"URL({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URL) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash(str(self))


_PARTS = (
    "href",
    "origin",
    "protocol",
    "username",
    "password",
    "host",
    "hostname",
    "port",
    "pathname",
    "search",
    "hash",
)
