"""Content codings of what a function is answered (RFC 9110, section 8.4), taken off piece by piece.

It is done here, in the function's own process: what little bytes become many costs its memory and its time, and nobody else's.
"""

import importlib
import importlib.util
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Any

from littoral.workers.failures import FetchError

PIECE_BYTES = 64 * 1024
"""The most that is made at once of what has come."""


@cache
def accepted() -> str:
    """What a request says that it takes: br is among it where the app has brought the package along."""
    return "gzip, br" if importlib.util.find_spec("brotli") is not None else "gzip"


def decodes(coding: str) -> bool:
    """Whether it can be taken off. Two of them, one over the other, cannot."""
    return coding.strip().lower() in _DECODERS


def decoded(pieces: AsyncIterator[bytes], coding: str) -> AsyncIterator[bytes]:
    """The content, without its coding. Raises FetchError where it is damaged, and what iterating over the pieces raises."""
    return _decoded(pieces, _DECODERS[coding.strip().lower()]())


async def _decoded(pieces: AsyncIterator[bytes], decoder: "_Zlib | _Brotli") -> AsyncIterator[bytes]:
    try:
        async for piece in pieces:
            for data in decoder.feed(piece):
                yield data
        decoder.check_end()
    except (zlib.error, decoder.error) as error:
        raise FetchError(f"the answer's body is not what its content-encoding says: {error}") from None
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


class _Zlib:
    """gzip, of any number of members; and deflate, with and without the header that many forget."""

    error: type[Exception] = zlib.error

    def __init__(self, *window_bits: int) -> None:
        self._window_bits = window_bits
        self._begun = False
        self._decoder = zlib.decompressobj(window_bits[0])

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._decoder.eof:
                self._decoder = zlib.decompressobj(self._window_bits[0])
                self._begun = False
            try:
                made = self._decoder.decompress(data, PIECE_BYTES)
            except zlib.error:
                if self._begun or len(self._window_bits) == 1:
                    raise
                self._window_bits = self._window_bits[1:]
                self._decoder = zlib.decompressobj(self._window_bits[0])
                continue
            self._begun = True
            data = self._decoder.unconsumed_tail or self._decoder.unused_data
            if made:
                yield made

    def check_end(self) -> None:
        """Raises zlib.error where there should be more."""
        if self._begun and not self._decoder.eof:
            raise zlib.error("it is cut off")


class _Brotli:
    def __init__(self) -> None:
        # The app has brought it along, or does not get here.
        module: Any = importlib.import_module("brotli")
        self.error: type[Exception] = module.error
        self._decoder: Any = module.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        if made := self._decoder.process(data):
            yield made

    def check_end(self) -> None:
        """Raises brotli's error where there should be more."""
        if not self._decoder.is_finished():
            raise self.error("it is cut off")


_DECODERS: dict[str, Callable[[], "_Zlib | _Brotli"]] = {
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "x-gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS, -zlib.MAX_WBITS),
}
if importlib.util.find_spec("brotli") is not None:
    _DECODERS["br"] = _Brotli
