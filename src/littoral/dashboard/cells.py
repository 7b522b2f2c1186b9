"""What stands in tables: values that are words already, so that tables need to know nothing of what they show."""

from dataclasses import dataclass
from typing import Literal

Tone = Literal["", "ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, and what there is to say about it."""

    main: str
    sub: str = ""
    tone: Tone = ""
    """How it is to be taken."""
    share: float | None = None
    """Of a bound, drawn as a bar; None where there is none."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table."""

    name: str
    """Of what it is about, within the table."""
    cells: tuple[Cell, ...]
    """One for each column."""
    target: str = ""
    """Where a click on its first cell leads, if anywhere."""
