"""What modules count on and nodes do not have, as far as it can be seen without running them: it is said when a project is built, and not
only when somebody asks for it.
"""

import ast
import sys
from collections.abc import Collection, Iterator, Mapping

from littoral.projects.finding import Finding
from littoral.workers import js

_PLATFORM = frozenset({"workers", "js", "pyodide", "asgi", "littoral", "__future__"})
"""What every worker can import beside Python's library."""
_RAISING = {"HTMLRewriter": "Use html.parser, or a package such as selectolax"}
"""Names of `js` that are there, and raise when they are used; and what to do instead."""
_CLASSES = {
    "DurableObject": "Keep what it keeps in a key-value namespace (kv_namespaces)",
    "WorkflowEntrypoint": "Let messages of a queue lead from step to step (queues)",
}
"""Of `workers`: an app that has one does not start; and what to do instead."""
_CATALOGUES = ("@cf/", "@hf/")
"""What Cloudflare's own models begin with."""


def missing_names(name: str, tree: ast.Module, ai: str | None) -> list[Finding]:
    """Names of Workers that a module uses and that raise. ai: the binding to models; None for none."""
    return sorted(
        (each for node in ast.walk(tree) for each in _missing(name, node, ai)), key=lambda each: each.line or 0
    )


def _missing(name: str, node: ast.AST, ai: str | None) -> Iterator[Finding]:
    match node:
        case ast.ImportFrom(module="js", level=0):
            for alias in node.names:
                yield from _of_javascript(name, node.lineno, alias.name)
        case ast.Attribute(value=ast.Name(id="js"), attr=wanted):
            yield from _of_javascript(name, node.lineno, wanted)
        case ast.ClassDef():
            bases = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}
            for wanted in sorted(bases & _CLASSES.keys()):
                yield Finding(name, node.lineno, f"an app with a {wanted} does not start", _CLASSES[wanted])
        case ast.Call(func=ast.Attribute(value=owner, attr="run"), args=[ast.Constant(value=str() as model), *_]):
            if ai is not None and _is_binding(owner, ai) and model.startswith(_CATALOGUES):
                cause = f"there is no model {model[:80]}: models are files of the app"
                yield Finding(name, node.lineno, cause, "Put models/NAME.onnx beside its main module, and run NAME")


def _of_javascript(name: str, line: int, wanted: str) -> Iterator[Finding]:
    if wanted in _RAISING:
        yield Finding(name, line, f"js.{wanted} raises an error when it is used", _RAISING[wanted])
    elif wanted != "*" and wanted not in js.names():
        cause = f"js has no {wanted} here: there is no JavaScript under a function"
        yield Finding(name, line, cause, "docs/reference/workers.md lists its names")


def _is_binding(owner: ast.expr, binding: str) -> bool:
    match owner:
        case ast.Attribute(attr=wanted) | ast.Subscript(slice=ast.Constant(value=wanted)):
            return bool(wanted == binding)
    return False


def imported(tree: ast.Module) -> dict[str, int]:
    """The modules that a module cannot do without, by their first names, and the line that says so first. What is tried, or is for a
    type checker, is none of them."""
    found: dict[str, int] = {}
    for node in _always(tree.body):
        match node:
            case ast.Import():
                wanted = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str() as module, level=0):
                wanted = [module]
            case _:
                continue
        for each in wanted:
            found.setdefault(each.partition(".")[0], node.lineno)
    return found


def _always(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that are run whenever the module is imported, whatever is."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.With | ast.ClassDef):
            yield from _always(statement.body)


def unknown_modules(
    main: str, imports: Mapping[str, int], own: Collection[str], packages: Collection[str]
) -> list[Finding]:
    """Modules that the main module imports and that nobody has: it would not start. own, packages: paths of the app's files and of those of
    its packages, which begin where modules are looked for."""
    known = _PLATFORM | sys.stdlib_module_names
    known |= {part.partition(".")[0] for path in own for part in path.split("/")}
    known |= {path.partition("/")[0].partition(".")[0] for path in packages}
    return [
        Finding(
            main,
            line,
            f"there is no module {wanted}: not in the project, in no package that it lists, and not in Python",
            "List its package in pyproject.toml or requirements.txt",
        )
        for wanted, line in imports.items()
        if wanted not in known
    ]
