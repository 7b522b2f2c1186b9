"""What a project needs of other people's packages, and the lines that say so."""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from littoral.projects.finding import Finding
from littoral.projects.project import read_text
from littoral.projects.target import Target
from littoral.projects.toml import read_toml

PROJECT_FILE = "pyproject.toml"
REQUIREMENTS_FILE = "requirements.txt"
OURS = frozenset({"workers-py", "workers-runtime-sdk", "pyodide-py", "webtypy", "littoral"})
"""Packages of the platform itself: their names are there in every function."""

DEPTH_MOST = 8
"""Of files that include each other by `-r`."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s+|=|\b)(?P<file>\S+)")
_LEAST_PYTHON = re.compile(r">=\s*3\.(\d{1,2})")
_COMMENT = re.compile(r"(?:^|\s)#.*")


class Requirement(Struct, frozen=True):
    """One of them."""

    file: str
    line: int | None
    name: str
    """Normalized (PEP 503)."""
    text: str
    """As pip reads it, with its hashes where it has any."""
    is_constraint: bool = False
    """Whether it only says which version, if something else needs it."""


class Requirements(Struct, frozen=True):
    """All of them."""

    wanted: list[Requirement] = []
    findings: list[Finding] = []
    warnings: list[Finding] = []


def normal_name(name: str) -> str:
    """A package's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requirements(folder: Path, target: Target) -> Requirements:
    """The dependencies of a project: those of `pyproject.toml` where it has any, or else `requirements.txt`.

    What dependency groups list is for developing it. target: a warning says where the project is for a newer Python. Raises
    InvalidInput for a file that cannot be read.
    """
    result = Requirements()
    if (folder / PROJECT_FILE).is_file():
        _read_project(folder, target, result)
    if not (folder / REQUIREMENTS_FILE).is_file():
        return result
    if result.wanted:
        cause = f"it is not read: {PROJECT_FILE} lists dependencies"
        result.warnings.append(Finding(REQUIREMENTS_FILE, None, cause))
        return result
    _read_lines(folder, REQUIREMENTS_FILE, result, is_constraint=False, depth=0)
    return result


def _read_project(folder: Path, target: Target, result: Requirements) -> None:
    text = read_text(folder, PROJECT_FILE)
    document = read_toml(text)
    result.findings.extend(Finding(PROJECT_FILE, each.line, each.cause) for each in document.problems)
    value = document.value
    project = value.get("project") if isinstance(value, dict) else None
    if not isinstance(project, dict):
        return
    least = _LEAST_PYTHON.search(str(project.get("requires-python")))
    if least is not None and int(least[1]) > target.minor:
        cause = f"it asks for Python {project['requires-python']}; this is built for Python {target.python}"
        result.warnings.append(Finding(PROJECT_FILE, document.line(("project", "requires-python")), cause))
    begin = document.line(("project", "dependencies")) or 1
    entries = project.get("dependencies", [])
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        result.findings.append(Finding(PROJECT_FILE, begin, "project.dependencies: expected a list of text"))
        return
    lines = text.splitlines()
    for entry in entries:
        # tomllib says nothing of lines: the first one from there on that holds it.
        at = next((number for number in range(begin, len(lines) + 1) if str(entry) in lines[number - 1]), begin)
        _take(PROJECT_FILE, at, str(entry).strip(), result, is_constraint=False)


def _read_lines(folder: Path, file: str, result: Requirements, *, is_constraint: bool, depth: int) -> None:
    for line, text in _logical_lines(read_text(folder, file)):
        include = _INCLUDE.fullmatch(text)
        if include is None:
            _take(file, line, text, result, is_constraint=is_constraint)
            continue
        included = Path(file).parent.joinpath(include["file"]).as_posix()
        if depth >= DEPTH_MOST:
            result.findings.append(Finding(file, line, f"files include each other more than {DEPTH_MOST} levels deep"))
        elif not (folder / included).is_file():
            result.findings.append(Finding(file, line, f"there is no file {included}"))
        else:
            only_versions = is_constraint or text.startswith(("-c", "--constraint"))
            _read_lines(folder, included, result, is_constraint=only_versions, depth=depth + 1)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, those that go on after a backslash as one, each with the number of its first."""
    parts: list[str] = []
    begin = 1
    for number, line in enumerate(text.splitlines(), 1):
        if not parts:
            begin = number
        goes_on = line.endswith("\\")
        parts.append(line.removesuffix("\\"))
        if not goes_on:
            if joined := _COMMENT.sub("", " ".join(parts)).strip():
                yield begin, joined
            parts.clear()
    if joined := _COMMENT.sub("", " ".join(parts)).strip():
        yield begin, joined


def _take(file: str, line: int | None, text: str, result: Requirements, *, is_constraint: bool) -> None:
    name = _NAME.match(text)
    if text.startswith("-"):
        cause = f"the option {text.split(maxsplit=1)[0]} is not read from here"
        result.findings.append(Finding(file, line, cause, "Set it in pip's configuration, where its indexes belong"))
    elif name is None or text[name.end() :].startswith(("/", "\\", ":")):
        cause = f'found "{text[:80]}"; expected the name of a package'
        result.findings.append(Finding(file, line, cause, "What is no package of an index: copy it into the project"))
    elif normal_name(name[0]) not in OURS:
        result.wanted.append(Requirement(file, line, normal_name(name[0]), text, is_constraint))
