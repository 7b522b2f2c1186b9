"""Numbers in words for a person at a glance."""

from datetime import UTC, datetime

NONE = "–"
"""Stands where there is no value."""


def count_text(value: float) -> str:
    """A whole number with narrow spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def rate_text(per_s: float | None) -> str:
    """How many in a second; a fraction only where it matters."""
    if per_s is None:
        return NONE
    return f"{per_s:.1f}" if 0 < per_s < 10 else count_text(per_s)


def bytes_text(value: int) -> str:
    """In the largest decimal unit, as disks and networks are counted."""
    if value < 1000:
        return f"{value} B"
    amount = float(value)
    unit = "B"
    for unit in ("kB", "MB", "GB", "TB"):  # noqa: B007 -- used after the loop
        amount /= 1000
        if amount < 999.5:
            break
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"


def share_text(share: float) -> str:
    """Of a whole; what is little is said to be."""
    if 0 < share < 0.01:
        return "< 1 %"
    return f"{100 * share:.0f} %"


def cut_text(text: str, most: int) -> str:
    """As much of a text as there is room for."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def duration_text(milliseconds: int) -> str:
    """In the largest unit or two."""
    seconds = max(0, milliseconds) // 1000
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def span_text(milliseconds: int) -> str:
    """As a duration, which somebody chose: without what is zero of it."""
    text = duration_text(milliseconds)
    for zero in (" 0 s", " 0 min", " 0 h"):
        text = text.removesuffix(zero)
    return text


def age_text(at_ms: int | None, now_ms: int) -> str:
    """How long ago something was."""
    return NONE if at_ms is None else duration_text(now_ms - at_ms)


def value_text(value: float) -> str:
    """A measured value, in four to five significant digits."""
    return f"{value:.5g}"


def clock_text(at_ms: int) -> str:
    """Time of day, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%H:%M:%S UTC")


def event_time_text(at_ms: int) -> str:
    """Date and time, UTC. A device may state a time that no calendar has."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"
