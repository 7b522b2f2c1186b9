"""Which file of an app's assets is at a path, as Workers have it (Workers static assets, HTML handling).

A page has one path; at all others that lead to it there is a redirect to that. Pure: who asks says what files there are.
"""

import posixpath
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from littoral.core.resources.app_assets import HtmlHandling, NotFoundHandling

Parts = tuple[str, ...]
IsFile = Callable[[Parts], bool]

WELL_KNOWN = ".well-known"
"""The one name with a dot at its beginning that is for everybody (RFC 8615)."""
CACHE_CONTROL = "public, max-age=0, must-revalidate"
"""What clients are told of assets, as Workers tell them."""
NO_ASSETS = frozenset({("_headers",), ("_redirects",)})
"""Files that are about assets, and none."""


class Page(NamedTuple):
    """A file."""

    parts: Parts
    status: int = 200


class Moved(NamedTuple):
    """Another path for the same."""

    path: str


def find(path: str, handling: HtmlHandling, is_file: IsFile) -> Page | Moved | None:
    """What is at a path of a URL, percent-encoded as it came; None for nothing."""
    parts = parts_of(path)
    if parts is None:
        return None
    slash = path.endswith("/") and bool(parts)
    if not slash and parts and _is_there(parts, is_file) and (handling == "none" or not _is_page(parts)):
        return Page(parts)
    if handling == "none":
        return None
    base, folder_first = _base(parts, slash=path.endswith("/"))
    flat = (*base[:-1], f"{base[-1]}.html") if base else None
    index = (*base, "index.html")
    both = [(index, True), (flat, False)] if folder_first else [(flat, False), (index, True)]
    for file, is_folder in both:
        if file is not None and _is_there(file, is_file):
            with_slash = handling == "force-trailing-slash" or (handling == "auto-trailing-slash" and is_folder)
            right = "/" + "/".join(quote(part) for part in base) + ("/" if with_slash and base else "")
            given = "/" + "/".join(quote(part) for part in parts) + ("/" if slash else "")
            return Page(file) if right == given else Moved(right)
    return None


def fallback(path: str, handling: NotFoundHandling, is_file: IsFile) -> Page | None:
    """What is given where nothing is."""
    if handling == "single-page-application":
        return Page(("index.html",)) if is_file(("index.html",)) else None
    if handling == "404-page":
        parts = parts_of(path) or ()
        for length in range(len(parts), -1, -1):
            page = (*parts[:length], "404.html")
            if is_file(page):
                return Page(page, 404)
    return None


def runs_first(path: str, rules: bool | Sequence[str]) -> bool:
    """Whether the code is asked before the files. Rules are about the file that is found, however its path was written."""
    if isinstance(rules, bool):
        return rules
    parts = parts_of(path)
    if parts is not None:
        path = "/" + "/".join(parts) + ("/" if parts and path.endswith("/") else "")
    wanted = [rule for rule in rules if not rule.startswith("!")]
    except_for = [rule[1:] for rule in rules if rule.startswith("!")]
    return any(map(_pattern(path), wanted)) and not any(map(_pattern(path), except_for))


def parts_of(path: str) -> Parts | None:
    """The names that a path leads through; None for one that leads to no file."""
    try:
        parts = tuple(unquote(part, errors="strict") for part in path.split("/") if part)
    except UnicodeDecodeError:
        return None
    if any("/" in part or "\0" in part or (part.startswith(".") and part != WELL_KNOWN) for part in parts):
        return None
    return parts


def _pattern(path: str) -> Callable[[str], bool]:
    return lambda rule: _compiled(rule).fullmatch(path) is not None


@lru_cache(256)
def _compiled(rule: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(unquote(part)) for part in rule.split("*")), re.DOTALL)


def _is_there(parts: Parts, is_file: IsFile) -> bool:
    return parts not in NO_ASSETS and is_file(parts)


def _is_page(parts: Parts) -> bool:
    return parts[-1].endswith(".html")


def _base(parts: Parts, *, slash: bool) -> tuple[Parts, bool]:
    """The path of a page without what may stand at its end, and whether a folder is rather meant than a file."""
    if slash or not parts:
        return parts, True
    if parts[-1] in {"index", "index.html"}:
        return parts[:-1], True
    if _is_page(parts):
        return (*parts[:-1], posixpath.splitext(parts[-1])[0]), False
    return parts, False
