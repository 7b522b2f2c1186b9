"""JavaScript's values, as far as code written against Pyodide meets them: objects, arrays, typed arrays, JSON."""

import json as _json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from littoral.workers.buffers import Buffer


class JsObject(dict[str, Any]):
    """A dict whose members are attributes as well, which is how a JavaScript object looks from Python."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"this object has no {name!r}; it has: {', '.join(map(str, self)) or 'nothing'}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def to_py(self, **options: object) -> dict[str, Any]:
        """Dicts and lists of Python, all the way down."""
        return {key: to_python(value) for key, value in self.items()}

    def as_object_map(self, **options: object) -> "JsObject":
        """Itself: `[]` reads members here."""
        return self

    def object_keys(self) -> "JsArray":
        """The names of the members."""
        return JsArray(self)

    def object_values(self) -> "JsArray":
        """The members."""
        return JsArray(self.values())

    def object_entries(self) -> "JsArray":
        """The members with their names."""
        return JsArray(JsArray(pair) for pair in self.items())


class JsArray(list[Any]):
    """A list with an array's methods."""

    __slots__ = ()

    @classmethod
    def new(cls, *members: Any) -> "JsArray":
        """As JavaScript's constructor."""
        return cls(members)

    @staticmethod
    def isArray(value: object) -> bool:
        """Whether it is one."""
        return isinstance(value, list | tuple)

    @property
    def length(self) -> int:
        """How many members."""
        return len(self)

    def push(self, *members: Any) -> int:
        """Append."""
        self.extend(members)
        return len(self)

    def join(self, separator: str = ",") -> str:
        """The members as text."""
        return separator.join(map(str, self))

    def to_py(self, **options: object) -> list[Any]:
        """Dicts and lists of Python, all the way down."""
        return [to_python(member) for member in self]


class Uint8Array(Buffer):
    """A typed array of bytes. It cannot be changed in place."""

    __slots__ = ()

    @classmethod
    def new(cls, source: Any = b"", *part: Any) -> "Uint8Array":
        """As JavaScript's constructor: of a length, of bytes, or of numbers."""
        if isinstance(source, int):
            return cls(bytes(source))
        return cls(source if isinstance(source, bytes | bytearray | memoryview) else bytes(list(source)))


class Object:
    """JavaScript's Object, as a converter of dicts."""

    @staticmethod
    def new(*members: Any) -> JsObject:
        """An empty object."""
        return JsObject(*members)

    @staticmethod
    def fromEntries(entries: Any) -> JsObject:
        """An object of pairs; of Headers, FormData and mappings too."""
        items = getattr(entries, "items", None)
        return JsObject(items() if callable(items) else entries)

    @staticmethod
    def keys(value: Mapping[str, Any]) -> JsArray:
        """The names of the members."""
        return JsArray(value)

    @staticmethod
    def values(value: Mapping[str, Any]) -> JsArray:
        """The members."""
        return JsArray(value.values())

    @staticmethod
    def entries(value: Mapping[str, Any]) -> JsArray:
        """The members with their names."""
        return JsArray(JsArray(pair) for pair in value.items())

    @staticmethod
    def assign(target: JsObject, *sources: Mapping[str, Any]) -> JsObject:
        """Copy the members of the sources to the target."""
        for source in sources:
            target.update(source)
        return target


class JSON:
    """JavaScript's JSON."""

    @staticmethod
    def parse(text: str | bytes, reviver: object = None) -> Any:
        """Text to values whose members are attributes. Raises json.JSONDecodeError."""
        return to_javascript(_json.loads(text))

    @staticmethod
    def stringify(value: Any, replacer: object = None, space: int | str | None = None) -> str:
        """Values to text. Raises TypeError for what JSON cannot hold."""
        separators = (",", ":") if not space else (",", ": ")
        return _json.dumps(value, ensure_ascii=False, separators=separators, indent=space or None, default=_plain)


def to_javascript(value: Any, dict_converter: Callable[[Iterable[Any]], Any] | None = None) -> Any:
    """What Python passes to JavaScript's code: dicts become objects, lists arrays, and bytes typed arrays."""
    if isinstance(value, Buffer | JsObject | JsArray) and dict_converter is None:
        return value
    if isinstance(value, Mapping):
        members = ((key, to_javascript(member, dict_converter)) for key, member in value.items())
        return (
            JsObject(members) if dict_converter is None else dict_converter(JsArray(JsArray(pair) for pair in members))
        )
    if isinstance(value, list | tuple):
        return JsArray(to_javascript(member, dict_converter) for member in value)
    if isinstance(value, bytes | bytearray | memoryview):
        return Uint8Array(value)
    return value


def to_python(value: Any) -> Any:
    """Dicts, lists and plain values again."""
    if isinstance(value, Mapping):
        return {key: to_python(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [to_python(member) for member in value]
    return value


def _plain(value: Any) -> Any:
    """What JSON.stringify makes of an object that is no plain one: most have no members of their own."""
    if isinstance(value, bytes):
        return list(value)
    return {}
