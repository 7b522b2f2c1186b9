"""Ranges of bytes: the header `Range` of a request, and `Content-Range` of a response (RFC 9110 section 14)."""

import re

_RANGES = re.compile(r"bytes=[ \t]*([0-9, \t-]+)")
_SPEC = re.compile(r"(\d{0,18})-(\d{0,18})", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII | re.IGNORECASE)

RANGES_MOST = 16
"""More in one request are an attack, or a client that is better served with everything (RFC 9110, section 14.2)."""
_CHARACTERS_MOST = 1024

Span = tuple[int, int]
"""Where bytes begin and end, the end excluded."""


class Unsatisfiable(Exception):
    """The range begins beyond the end."""


def byte_range(header: str | None, size: int) -> Span | None:
    """Where the range begins and ends; None for everything, also where the header is none that is understood, or names
    several ranges that are apart: a server may ignore it. Raises Unsatisfiable."""
    spans = _byte_ranges(header, size) if header is not None and len(header) <= _CHARACTERS_MOST else None
    if spans is None:
        return None
    if not spans:
        raise Unsatisfiable
    whole = joined(spans)
    return whole[0] if len(whole) == 1 else None


def content_range(value: str) -> tuple[int, int, int] | None:
    """Where a part begins and ends, and how long the whole is; None where one of them is unknown, or it is not valid."""
    match = _CONTENT_RANGE.fullmatch(value.strip(" \t"))
    if match is None:
        return None
    first, last, total = int(match[1]), int(match[2]), int(match[3])
    return (first, last + 1, total) if first <= last < total else None


def joined(spans: list[Span] | tuple[Span, ...]) -> tuple[Span, ...]:
    """The same bytes in order, with those that overlap or touch as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def missing(parts: tuple[Span, ...], start: int, end: int) -> tuple[Span, ...]:
    """What of start to end is in none of the parts, which are joined."""
    found: list[Span] = []
    for first, last in parts:
        if last <= start:
            continue
        if first >= end:
            break
        if first > start:
            found.append((start, first))
        start = last
    if start < end:
        found.append((start, end))
    return tuple(found)


def _byte_ranges(header: str, size: int) -> list[Span] | None:
    """Those that can be satisfied; None for a header that is to be ignored."""
    match = _RANGES.fullmatch(header.strip().lower())
    if match is None:
        return None
    specs = [stripped for spec in match[1].split(",") if (stripped := spec.strip(" \t"))]
    if not 1 <= len(specs) <= RANGES_MOST:
        return None
    found: list[Span] = []
    for spec in specs:
        bounds = _SPEC.fullmatch(spec)
        if bounds is None or spec == "-":
            return None
        first, last = bounds.groups()
        if first and last and int(last) < int(first):
            return None
        start = int(first) if first else max(0, size - int(last))
        if start < size:
            found.append((start, min(size, int(last) + 1) if first and last else size))
    return found
