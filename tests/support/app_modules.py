"""Loading apps into the test's own process, as a worker does into its own."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from littoral.functions.worker.loader import load_module

PROJECTS = Path(__file__).parents[1] / "projects"
ALIASES = ("workers", "js", "pyodide", "asgi")


@contextlib.contextmanager
def interpreter_as_it_was(directory: Path) -> Iterator[None]:
    """Workers load one app and end; here the modules of the app in `directory` are forgotten, and the path is put back."""
    path, finders, flag = list(sys.path), list(sys.meta_path), sys.dont_write_bytecode
    try:
        yield
    finally:
        sys.dont_write_bytecode = flag
        sys.path[:] = path
        sys.meta_path[:] = finders
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or ""
            if name.partition(".")[0] in ALIASES or file.startswith(str(directory)):
                del sys.modules[name]


def load_project(name: str) -> ModuleType:
    """The main module of a project."""
    return load_module(str(PROJECTS / name), "src/entry.py")
