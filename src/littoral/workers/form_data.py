"""FormData: the fields and files of a form (XMLHttpRequest Standard, section 5)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from littoral.workers.blob import Blob, File

FormDataValue = str | Blob


class FormData:
    """An ordered multimap of names to text or files.

    `form[name]` is the first value of that name, and None where there is none: as in Workers, where published code
    relies on it.
    """

    __slots__ = ("_items",)

    def __init__(
        self, form_data: "FormData | Mapping[str, FormDataValue] | Iterable[tuple[str, FormDataValue]] | None" = None
    ) -> None:
        self._items: list[tuple[str, FormDataValue]] = []
        if form_data is None:
            return
        for name, value in form_data.items() if isinstance(form_data, FormData | Mapping) else form_data:
            self.append(name, value)

    @classmethod
    def new(cls, form: object = None) -> "FormData":
        """As JavaScript's constructor."""
        return cls()

    def append(self, key: str, value: Any, filename: str | None = None) -> None:
        """Add a value beside those of the same name. filename: makes a File of a Blob. Raises TypeError for lists: add
        their members one by one."""
        if isinstance(value, list | tuple | dict):
            raise TypeError(
                f"a form's value is text or a Blob, not {type(value).__name__}; append its members one by one"
            )
        if isinstance(value, Blob):
            given = value.name if isinstance(value, File) else "blob"
            if filename is not None or not isinstance(value, File):
                value = File(value, filename or given)
        elif isinstance(value, bytes | bytearray | memoryview):
            value = File(bytes(value), filename or "blob")
        self._items.append((str(key), value if isinstance(value, Blob) else str(value)))

    def set(self, key: str, value: Any, filename: str | None = None) -> None:
        """Replace every value of that name."""
        at = next((index for index, item in enumerate(self._items) if item[0] == key), len(self._items))
        before, rest = self._items[:at], [item for item in self._items[at:] if item[0] != key]
        self._items = before
        self.append(key, value, filename)
        self._items += rest

    def delete(self, key: str) -> None:
        """Remove every value of that name; there may be none."""
        self._items = [item for item in self._items if item[0] != key]

    def get(self, key: str, default: FormDataValue | None = None) -> FormDataValue | None:
        """The first value of that name, or `default`."""
        return next((value for name, value in self._items if name == key), default)

    def get_all(self, key: str) -> list[FormDataValue]:
        """Every value of that name."""
        return [value for name, value in self._items if name == key]

    getAll = get_all

    def has(self, key: str) -> bool:
        """Whether there is a value of that name."""
        return key in self

    def keys(self) -> Iterator[str]:
        """The name of every value, in order; one with several values comes several times."""
        return (name for name, _ in self._items)

    def values(self) -> Iterator[FormDataValue]:
        """Every value in order."""
        return (value for _, value in self._items)

    def items(self) -> Iterator[tuple[str, FormDataValue]]:
        """Every name with its value, in order."""
        return iter(list(self._items))

    entries = items

    @property
    def js_object(self) -> "FormData":
        """Itself: there is no JavaScript underneath."""
        return self

    def as_body(self) -> tuple[bytes, str | None]:
        """What it is in a request or response: multipart/form-data."""
        # The parser comes with it, which a function without forms need not load.
        from littoral.workers.multipart import encode_form  # noqa: PLC0415

        return encode_form(self.items())

    def __getitem__(self, key: str) -> FormDataValue | None:
        return self.get(key)

    def __setitem__(self, key: str, value: FormDataValue) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        self.delete(key)

    def __contains__(self, key: object) -> bool:
        return any(name == key for name, _ in self._items)

    def __iter__(self) -> Iterator[str]:
        return self.keys()

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"FormData({self._items!r})"
