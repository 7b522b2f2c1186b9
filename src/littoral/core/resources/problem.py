"""One thing that is wrong in a document, where, and what would be right."""

import difflib
from collections.abc import Iterable

import msgspec
from msgspec import Struct

Path = tuple[str | int, ...]
"""Where in a document, in the names the user wrote: ("spec", "windows", 0, "stream")."""


class Problem(Struct, frozen=True, kw_only=True):
    """One thing that is wrong."""

    cause: str
    """What was found and what is allowed."""
    path: Path = ()
    line: int | None = None
    """Counted from 1, in the file."""
    column: int | None = None
    """Counted from 1; only for what is no YAML at all."""
    document: int = 1
    """Counted from 1, in the file."""
    name: str = ""
    """Kind and name of the document, as far as it says them."""

    def __str__(self) -> str:
        where = f"line {self.line}, " if self.line is not None else ""
        if self.column is not None:
            where += f"column {self.column}, "
        where += f"document {self.document}"
        if self.name:
            where += f" ({self.name})"
        if self.path:
            where += f", {path_text(self.path)}"
        return f"{where}: {self.cause}"


def path_text(path: Path) -> str:
    """As in `spec.windows[0].stream`. Members whose names hold other characters are quoted: `labels."a.b"`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        plain = part.replace("_", "").replace("-", "").isalnum()
        text += ("." if text else "") + (part if plain else msgspec.json.encode(part[:80]).decode())
    return text


def suggestion(found: str, allowed: Iterable[str]) -> str:
    """' Did you mean "tier"?', or nothing if no allowed word is near."""
    lowered = {word.lower(): word for word in allowed}
    near = difflib.get_close_matches(found[:80].lower(), lowered, n=1)
    return f' Did you mean "{lowered[near[0]]}"?' if near else ""
