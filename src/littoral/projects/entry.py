"""What can be seen in an app's modules without running them: whether they compile, what answers requests, and what they
want of `env`.
"""

import ast
import warnings
from collections.abc import Collection, Iterator

from littoral.core.resources.problem import suggestion
from littoral.functions.worker.loader import APPLICATIONS
from littoral.projects.finding import Finding

_ANSWERING = frozenset({"Default", "on_fetch", "fetch", *APPLICATIONS})
"""Names of what answers requests; what has one of them is found where a worker looks for it."""


def compiled(name: str, source: bytes) -> ast.Module | Finding:
    """A module as a tree, or why it is none: the line, and where in it."""
    try:
        with warnings.catch_warnings():
            # They are for who runs the code, not for who packs it.
            warnings.simplefilter("ignore")
            tree = ast.parse(source, name)
            # What only the compiler sees: a return outside of a function, a name that is both global and a parameter.
            compile(tree, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        return Finding(name, error.lineno, f"{error.msg}{_excerpt(error)}", "Correct it; nothing of it can run")
    except (ValueError, RecursionError, MemoryError) as error:
        return Finding(name, None, f"it cannot be compiled: {str(error) or type(error).__name__}")
    return tree


def entry_finding(name: str, tree: ast.Module) -> Finding | None:
    """What is wrong where a main module has nothing that answers requests."""
    if set(_names(tree.body)) & _ANSWERING or any(_entrypoints(tree.body)):
        return None
    return Finding(
        name,
        None,
        "nothing in it answers requests: it has no class that derives WorkerEntrypoint, no function on_fetch or fetch, "
        "and no app (ASGI or WSGI)",
        "Write `class Default(WorkerEntrypoint)` with `async def fetch(self, request)`",
    )


def unknown_bindings(name: str, tree: ast.Module, known: Collection[str]) -> list[Finding]:
    """Names that the module takes from `env` and that nothing gives it. Each is said once, where it comes first."""
    first: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and (wanted := _wanted(node)) is not None:
            first[wanted] = min(node.lineno, first.get(wanted, node.lineno))
    return [
        Finding(
            name,
            line,
            f"env.{wanted} is not defined: no variable and no binding has that name; a secret may.{suggestion(wanted, known)}",
        )
        for wanted, line in sorted(first.items(), key=lambda item: item[1])
        if wanted not in known
    ]


def _excerpt(error: SyntaxError) -> str:
    """The line in question, and a caret below the place in it."""
    if error.text is None:
        return ""
    line = error.text.rstrip("\r\n")
    shown = line.lstrip()
    # Offsets count from 1, and are 0 or None where the compiler knows the line only.
    before = max((error.offset or 1) - 1 - (len(line) - len(shown)), 0)
    return f"\n    {shown}\n    {' ' * min(before, len(shown))}^"


def _names(body: list[ast.stmt]) -> Iterator[str]:
    """What the statements give names to, in the module itself."""
    for statement in _flat(body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(statement, ast.ImportFrom | ast.Import):
            # `from workers import fetch` asks others.
            yield from ({alias.asname or alias.name for alias in statement.names} - {"fetch"})


def _entrypoints(body: list[ast.stmt]) -> Iterator[bool]:
    for statement in _flat(body):
        if isinstance(statement, ast.ClassDef):
            yield any(_last_name(base) == "WorkerEntrypoint" for base in statement.bases)


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements, and those that stand below a condition, `with` or `try`."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _flat(statement.body)
        if isinstance(statement, ast.If | ast.Try):
            yield from _flat(statement.orelse)
        if isinstance(statement, ast.Try):
            for handler in statement.handlers:
                yield from _flat(handler.body)


def _last_name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _wanted(node: ast.Attribute | ast.Subscript) -> str | None:
    """The name in `self.env.NAME`, `env.NAME` and `env["NAME"]`. A plain `env` may be anything, such as an environment of
    templates: of it only names in capitals count, as bindings have them.
    """
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        owner, wanted = node.value, node.attr
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        owner, wanted = node.value, node.slice.value
    else:
        return None
    if isinstance(owner, ast.Attribute) and owner.attr == "env" and not wanted.startswith("_"):
        return wanted
    return wanted if isinstance(owner, ast.Name) and owner.id == "env" and wanted.isupper() else None
