"""HTTP header fields (RFC 9110, section 5)."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Self, TypeAlias, Union

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


HeadersInit: TypeAlias = Union["Headers", Mapping[str, object], Iterable[tuple[str, object]], None]


class Headers:
    """An ordered multimap of fields; names are case-insensitive and kept in lower case.

    `headers[name]` is None where there is no such field, and deleting one that is not there is no error: as in Workers,
    whose published code relies on it.
    """

    __slots__ = ("_items", "_make")

    _items: list[tuple[str, str]]
    _make: Callable[[], list[tuple[str, str]]]

    def __init__(self, init: HeadersInit = None) -> None:
        """Raises ValueError for a name or value that HTTP does not allow."""
        self._items = []
        if init is None:
            return
        if isinstance(init, Headers):
            self._items = init._items.copy()
            return
        for name, value in init.items() if isinstance(init, Mapping) else init:
            self.append(name, value)

    @classmethod
    def received(cls, items: list[tuple[str, str]]) -> Self:
        """Fields as the gateway passed them: checked, and in lower case already."""
        headers = cls.__new__(cls)
        headers._items = items
        return headers

    @classmethod
    def later(cls, make: Callable[[], list[tuple[str, str]]]) -> Self:
        """As `received`, where they are made when somebody asks for one: most functions do not."""
        headers = cls.__new__(cls)
        headers._make = make
        return headers

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> list[tuple[str, str]]:
            if name != "_items":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            self._items = items = self._make()
            return items

    @classmethod
    def new(cls, init: HeadersInit = None) -> Self:
        """As JavaScript's constructor."""
        return cls(init)

    def append(self, name: str, value: object) -> None:
        """Add a field beside those of the same name. Raises ValueError."""
        value = str(value)
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no header name")
        if _FORBIDDEN_IN_VALUE.search(value):
            raise ValueError(f"the value of header {name!r} holds a control character: {value!r}")
        self._items.append((name.lower(), value))

    def set(self, name: str, value: object) -> None:
        """Replace every field of that name. Raises ValueError."""
        others = Headers.received(self._items)
        others.delete(name)
        others.append(name, value)
        self._items = others._items

    def delete(self, name: str) -> None:
        """Remove every field of that name; there may be none."""
        lower = name.lower()
        self._items = [item for item in self._items if item[0] != lower]

    def get(self, name: str, default: str | None = None) -> str | None:
        """The values of that name joined with ", ", or `default`."""
        values = self.get_all(name)
        return ", ".join(values) if values else default

    def get_all(self, name: str) -> list[str]:
        """The values of that name, one by one (Set-Cookie must not be joined)."""
        lower = name.lower()
        return [value for key, value in self._items if key == lower]

    getAll = get_all

    def get_set_cookie(self) -> list[str]:
        """The values of Set-Cookie, one by one."""
        return self.get_all("set-cookie")

    getSetCookie = get_set_cookie

    def has(self, name: str) -> bool:
        """Whether there is a field of that name."""
        return name in self

    def items(self) -> list[tuple[str, str]]:
        """Every field in order."""
        return list(self._items)

    entries = items

    def keys(self) -> list[str]:
        """The distinct names, in order of appearance."""
        return list(dict(self._items))

    def values(self) -> list[str]:
        """The value of every field in order."""
        return [value for _, value in self._items]

    def forEach(self, act: Callable[[str, str], object]) -> None:
        """Call `act` with the value and the name of every field."""
        for name, value in self.items():
            act(value, name)

    def __getitem__(self, name: str) -> str | None:
        return self.get(name)

    def __setitem__(self, name: str, value: object) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        self.delete(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(key == name.lower() for key, _ in self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"
