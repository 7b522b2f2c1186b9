"""zstd with a bound: what comes from others must not fill the memory when it is unpacked."""

import threading

import zstandard


class Undecodable(Exception):
    """It is not zstd, or would be larger than allowed."""


class _PerThread(threading.local):
    """A decompressor is not safe to be used by two threads at once."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor()


_mine = _PerThread()


def decompress(data: bytes, most_bytes: int) -> bytes:
    """`data` unpacked. Raises Undecodable.

    The library allocates what a frame announces, whatever `max_output_size` says, so the announcement is looked at
    first; our own frames all carry one.
    """
    try:
        announced = zstandard.frame_content_size(data)
        if not 0 <= announced <= most_bytes:
            size = "an unknown number of" if announced < 0 else str(announced)
            raise Undecodable(f"it unpacks to {size} bytes; at most {most_bytes} are allowed")
        return _mine.decompressor.decompress(data, max_output_size=most_bytes)
    except zstandard.ZstdError as error:
        raise Undecodable(str(error)) from error
