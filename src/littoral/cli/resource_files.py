"""Reading files of `littoral/v1` documents."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from littoral.core.errors import InvalidInput
from littoral.core.limits import RESOURCE_FILE_BYTES
from littoral.core.resources import Problem, Resource
from littoral.core.resources.decode import inspect_resources
from littoral.core.resources.problem import path_text

STDIN = Path("-")
SUFFIXES = (".yaml", ".yml")


class Found(NamedTuple):
    """One document."""

    path: Path
    resource: Resource

    @property
    def key(self) -> str:
        """Kind and name."""
        return f"{type(self.resource).__name__} {self.resource.metadata.name}"


class Reading(NamedTuple):
    """All documents of all files."""

    files: list[Path]
    documents: list[Found]
    problems: list[str]
    """One line each: file, line, document, field, what was found and what is allowed."""


def read_files(paths: Sequence[Path]) -> Reading:
    """Read files, the YAML files of folders, and stdin for "-". Raises InvalidInput for what cannot be opened."""
    reading = Reading(_files(paths), [], [])
    seen: dict[str, Path] = {}
    for path in reading.files:
        resources, problems = inspect_resources(_content(path))
        name = "<stdin>" if path == STDIN else str(path)
        reading.problems.extend(_line(name, problem) for problem in problems)
        for found in (Found(path, resource) for resource in resources):
            if seen.get(found.key, path) != path:
                reading.problems.append(f"{name}: {found.key}: {seen[found.key]} has the same kind and name")
            seen[found.key] = path
            reading.documents.append(found)
    return reading


def _files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and each.is_file())
        if not inside:
            raise InvalidInput("read", str(path), f"no file in this folder ends in {' or '.join(SUFFIXES)}")
        files += inside
    return files


def _content(path: Path) -> bytes:
    # One byte over the limit is enough to be told that there are too many.
    most = RESOURCE_FILE_BYTES.default + 1
    if path == STDIN:
        return sys.stdin.buffer.read(most)
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise InvalidInput("read", str(path), error.strerror or str(error), "Check the name of the file") from error


def _line(name: str, problem: Problem) -> str:
    where = ":".join([name, *(str(number) for number in (problem.line, problem.column) if number is not None)])
    document = f"document {problem.document}" + (f" ({problem.name})" if problem.name else "")
    field = f", {path_text(problem.path)}" if problem.path else ""
    return f"{where}: {document}{field}: {problem.cause}"
