"""Which files of a folder stay out of a bundle.

Always: what is hidden (version control, virtual environments, `.env`, `.dev.vars` and other secrets), what Python compiled,
packages of JavaScript, folders with a `pyvenv.cfg`, wheels and locks of dependencies, and revisions that were built. And what a file `.littoralignore` lists, in
the manner of `.gitignore`: a pattern a line; `#` begins a comment; `*` and `?` match within a name and `**` any number of
folders; a slash at the end means folders only, one elsewhere ties the pattern to the folder of the file; `!` takes back what
a line above said, though never what is left out always.
"""

import re
from collections.abc import Iterable

IGNORE_FILE = ".littoralignore"
REVISION_SUFFIX = ".revision"
OUTPUT_FOLDER = ".littoral"
"""In a project, where revisions and what builds keep are put: hidden, so that none of it gets into the next revision."""
_FOLDERS = frozenset({"__pycache__", "node_modules"})
_SUFFIXES = (".pyc", ".pyo", ".whl", ".lock", REVISION_SUFFIX)
_PIECE = re.compile(r"\*\*/|/\*\*$|\*|\?|\[!?[^]/]+\]|\\.|.")


class Ignored:
    """The rules of one folder."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """lines: of an ignore file."""
        self._rules = [rule for rule in map(_rule, lines) if rule is not None]

    def folder(self, path: str, *, has_environment: bool) -> bool:
        """Whether a folder, by its path from the top, is left out with all that is in it. has_environment: whether it is
        a virtual environment.
        """
        name = path.rpartition("/")[2]
        return name.startswith(".") or name in _FOLDERS or has_environment or self._listed(path, is_folder=True)

    def file(self, path: str) -> bool:
        """Whether a file, by its path from the top, is left out."""
        name = path.rpartition("/")[2]
        return name.startswith(".") or name.endswith(_SUFFIXES) or self._listed(path, is_folder=False)

    def _listed(self, path: str, *, is_folder: bool) -> bool:
        listed = False
        for pattern, folders_only, leaves_out in self._rules:
            if (is_folder or not folders_only) and pattern.fullmatch(path):
                listed = leaves_out
        return listed


def _rule(line: str) -> tuple[re.Pattern[str], bool, bool] | None:
    """A pattern for paths, whether for folders only, and whether what matches is left out."""
    text = line.rstrip()
    if not text or text.startswith("#"):
        return None
    leaves_out = not text.startswith("!")
    text = text.removeprefix("!")
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    tied = "/" in text
    name = text.removeprefix("/")
    try:
        pattern = re.compile("".join(_translated(piece) for piece in _PIECE.findall(name)))
    except re.error:
        # Brackets that are no set of characters, "[z-a]": a name like any other.
        pattern = re.compile(re.escape(name))
    return pattern if tied else re.compile(f"(?:.*/)?{pattern.pattern}"), folders_only, leaves_out


def _translated(piece: str) -> str:
    if piece == "**/":
        return "(?:.*/)?"
    if piece == "/**":
        return "/.*"
    if piece in {"*", "?"}:
        return f"[^/]{piece if piece == '*' else ''}"
    if piece.startswith("[") and len(piece) > 1:
        return piece.replace("[!", "[^", 1).replace("\\", "\\\\")
    return re.escape(piece[1:] if len(piece) == 2 and piece[0] == "\\" else piece)
