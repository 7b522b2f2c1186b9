"""Variables for trying a project out, from files that never leave its folder: secrets, most of the time.

The first of these that is there: `.dev.vars.ENV`, `.dev.vars`, `.env.ENV`, `.env`. A line is NAME=VALUE, with or without `export`;
a value may stand in single quotes, as it is, or in double ones, with \\n, \\t, \\" and \\\\ in it; `#` begins a comment.
"""

import re
from pathlib import Path

from littoral.projects.finding import Finding, refuse
from littoral.projects.project import read_text

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
    (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<plain>[^"'#\s][^#]*?|))\s*(?:\#.*)?""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_QUIET = re.compile(r"\s*(?:#.*)?")


def dev_files(environment: str | None) -> list[str]:
    """Names of the files, in the order in which they are looked for."""
    names = [".dev.vars", ".env"]
    return [each for name in names for each in ([f"{name}.{environment}"] if environment else []) + [name]]


def read_dev_vars(folder: Path, environment: str | None) -> dict[str, str]:
    """The variables; none where there is no such file. Raises InvalidInput, InvalidResource that names the line."""
    for name in dev_files(environment):
        if (folder / name).is_file():
            return _read(folder, name)
    return {}


def _read(folder: Path, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    wrong: list[Finding] = []
    for number, line in enumerate(read_text(folder, name).splitlines(), 1):
        if _QUIET.fullmatch(line):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            wrong.append(Finding(name, number, "it is not NAME=VALUE", 'Quote a value with blanks or "#" in it'))
        elif match["double"] is not None:
            found[match["name"]] = re.sub(r"\\(.)", lambda each: _ESCAPES.get(each[1], each[1]), match["double"])
        else:
            found[match["name"]] = match["single"] if match["single"] is not None else match["plain"]
    if wrong:
        raise refuse(str(folder), wrong)
    return found
