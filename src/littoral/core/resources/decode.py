"""`littoral/v1` documents from YAML."""

from collections.abc import Iterator
from functools import cache

import msgspec
from msgspec import inspect

from littoral.core.errors import InvalidResource
from littoral.core.limits import RESOURCE_FILE_BYTES, Limits
from littoral.core.resources.app import App
from littoral.core.resources.checks import checks
from littoral.core.resources.global_topics import GlobalTopics
from littoral.core.resources.model import API_VERSION, Node, Resource
from littoral.core.resources.namespace import Namespace
from littoral.core.resources.problem import Path, Problem, suggestion
from littoral.core.resources.rule import Rule
from littoral.core.resources.shape import found, mistakes
from littoral.core.resources.syntax import Document, read_documents
from littoral.core.resources.web import Origin, Route

_KINDS: dict[str, type[Resource]] = {
    "Node": Node,
    "App": App,
    "Namespace": Namespace,
    "Rule": Rule,
    "Route": Route,
    "Origin": Origin,
    "GlobalTopics": GlobalTopics,
}


def decode_resources(text: str | bytes, source_name: str, limits: Limits | None = None) -> list[Resource]:
    """Read a file of `littoral/v1` documents, in its order.

    `source_name` is the file's name for errors. Either every document is valid, or nothing is returned.
    Raises: InvalidResource, whose cause lists every problem of every document, one a line, each with the line in the
    file, the document and its kind and name, the field, what was found and what is allowed.
    """
    resources, problems = inspect_resources(text, limits)
    if problems:
        lines = [str(problem) for problem in problems]
        cause = lines[0] if len(lines) == 1 else f"{len(lines)} problems\n  " + "\n  ".join(lines)
        raise InvalidResource("read", source_name, cause)
    return resources


def inspect_resources(text: str | bytes, limits: Limits | None = None) -> tuple[list[Resource], list[Problem]]:
    """As `decode_resources`, for tools that show problems in their own way: the valid documents and all problems."""
    limits = limits or Limits()
    decoded = _text(text, limits)
    if isinstance(decoded, Problem):
        return [], [decoded]
    resources: list[Resource] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, str], int] = {}
    empty = True
    for document in read_documents(decoded):
        empty = False
        resource = _resource(document)
        problems += document.problems
        if resource is None:
            continue
        key = (type(resource).__name__, resource.metadata.name)
        if key in seen:
            problems.append(
                _problem(document, ("metadata", "name"), f"document {seen[key]} has the same kind and name")
            )
            continue
        seen[key] = document.number
        resources.append(resource)
    if empty:
        problems.append(Problem(cause=f"the file holds no document; one begins with apiVersion: {API_VERSION}"))
    return resources, problems


def _text(text: str | bytes, limits: Limits) -> str | Problem:
    try:
        data = text.encode() if isinstance(text, str) else text
        size = len(data)
        if size > limits[RESOURCE_FILE_BYTES]:
            limits.hit(RESOURCE_FILE_BYTES)
            most = f"at most {limits[RESOURCE_FILE_BYTES]} are allowed ({RESOURCE_FILE_BYTES.name})"
            return Problem(cause=f"the file has {size} bytes; {most}. Split it")
        return data.decode().removeprefix("\ufeff")
    except UnicodeError:
        return Problem(cause="the file is not UTF-8 text. Save it as UTF-8")


def _resource(document: Document) -> Resource | None:
    """The document's resource, or None after adding to its problems what is wrong."""
    value = document.value
    if document.problems and value is None:
        return None
    if not isinstance(value, dict):
        document.problems.append(
            _problem(document, (), f"found {found(value)}; expected a mapping with apiVersion, kind")
        )
        return None
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        document.problems.append(_kind_problem(document, kind))
        return None
    wrong = [_problem(document, path, cause) for path, cause in mistakes(value, _type(kind))]
    document.problems[:] = [msgspec.structs.replace(p, name=_name(document)) for p in document.problems] + wrong
    if document.problems:
        return None
    resource = msgspec.convert(value, _KINDS[kind])
    document.problems += [_problem(document, path, cause) for path, cause in checks(resource)]
    return None if document.problems else resource


def _kind_problem(document: Document, kind: object) -> Problem:
    allowed = ", ".join(_KINDS)
    if kind is None:
        return _problem(document, (), f'the field "kind" is missing. Allowed: {allowed}')
    near = suggestion(kind, _KINDS) if isinstance(kind, str) else ""
    return _problem(document, ("kind",), f"found {msgspec.json.encode(kind).decode()[:80]}.{near} Allowed: {allowed}")


def _problem(document: Document, path: Path, cause: str) -> Problem:
    return Problem(cause=cause, path=path, line=document.line(path), document=document.number, name=_name(document))


def _name(document: Document) -> str:
    """Kind and name, "Node plant-a", as much of it as the document says."""
    return " ".join(_name_parts(document))


def _name_parts(document: Document) -> Iterator[str]:
    value = document.value
    if not isinstance(value, dict):
        return
    if isinstance(kind := value.get("kind"), str):
        yield kind[:80] if kind.isprintable() else found(kind)
    metadata = value.get("metadata")
    if isinstance(metadata, dict) and isinstance(name := metadata.get("name"), str):
        yield name[:80] if name.isprintable() else found(name)


@cache
def _type(kind: str) -> inspect.Type:
    return inspect.type_info(_KINDS[kind])
