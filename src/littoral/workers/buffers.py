"""Bytes as JavaScript's code for them expects: `Uint8Array` and `ArrayBuffer` in one."""

from typing import Self, TypeAlias

Bytes: TypeAlias = bytes
"""The type, for classes that have a method of that name."""


class Buffer(bytes):
    """Immutable bytes that also answer to what published code asks of a typed array, its buffer or a proxy of either."""

    def to_bytes(self) -> bytes:
        """Plain bytes."""
        return bytes(self)

    def to_py(self) -> memoryview:
        """A view of the bytes."""
        return memoryview(self)

    to_memoryview = to_py

    def to_string(self, encoding: str = "utf-8") -> str:
        """The bytes decoded."""
        return self.decode(encoding)

    @property
    def buffer(self) -> Self:
        """The bytes themselves: views of a part are copies here."""
        return self

    @property
    def byteLength(self) -> int:
        """How many bytes there are."""
        return len(self)

    length = byteLength

    def subarray(self, start: int = 0, end: int | None = None) -> "Buffer":
        """The bytes from `start` up to `end`; negative ones count from the end."""
        return Buffer(self[start:end])

    slice = subarray
