"""The header `Range` of a request for bytes (RFC 9110 section 14), one range at a time."""

import re

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Unsatisfiable(Exception):
    """The range begins beyond the end."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Where the range begins and ends, the end excluded; None for everything, also where the header is none that is
    understood, or names several ranges: a server may ignore it. Raises Unsatisfiable."""
    match = _RANGE.fullmatch(header.strip().lower()) if header is not None else None
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0 or size == 0:
            raise Unsatisfiable
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    return int(first), min(size, int(last) + 1) if last else size
