"""Finding the handler in an app's main module."""

import importlib.util
import inspect
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType

import littoral.workers
from littoral.workers import Context, Env, Request, WorkerEntrypoint

Handler = Callable[[Request, Env, Context], Awaitable[object]]


class NoHandler(Exception):
    """The app's module has nothing that could answer a request."""


def load_module(directory: str, main: str) -> ModuleType:
    """Import the file `main` of the revision, under its own name, with its folder importable.

    Raises whatever the app's code raises; NoHandler if there is no such file.
    """
    path = Path(directory, main)
    if not path.is_file():
        raise NoHandler(f"there is no file {main!r} in the revision; set spec.main to the module with the entry point")
    sys.modules["workers"] = littoral.workers
    for name in ("entrypoint", "env", "headers", "kv", "request", "response"):
        sys.modules[f"workers.{name}"] = sys.modules[f"littoral.workers.{name}"]
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, path
    assert spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def find_handler(module: ModuleType) -> Handler:
    """What answers requests: the class `Default`, else the only WorkerEntrypoint, else `on_fetch(request, env, ctx)`.

    Raises NoHandler.
    """
    entrypoint = getattr(module, "Default", None) or _only_entrypoint(module)
    if entrypoint is not None:
        return _class_handler(entrypoint)
    on_fetch = getattr(module, "on_fetch", None)
    if callable(on_fetch):
        wanted = len(inspect.signature(on_fetch).parameters)
        return lambda request, env, ctx: on_fetch(*(request, env, ctx)[:wanted])
    raise NoHandler(
        f"{module.__name__} defines neither `class Default(WorkerEntrypoint)` with `async def fetch(self, request)` "
        "nor `async def on_fetch(request, env, ctx)`"
    )


def _only_entrypoint(module: ModuleType) -> type | None:
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, WorkerEntrypoint) and value.__module__ == module.__name__
    ]
    if len(found) > 1:
        names = ", ".join(entry.__name__ for entry in found)
        raise NoHandler(f"{module.__name__} defines several entrypoints ({names}); call one of them Default")
    return found[0] if found else None


def _class_handler(entrypoint: type) -> Handler:
    fetch = getattr(entrypoint, "fetch", None)
    if not callable(fetch):
        raise NoHandler(f"class {entrypoint.__name__} has no method fetch")
    if len(inspect.signature(fetch).parameters) < 2:
        return lambda request, env, ctx: entrypoint(ctx, env).fetch()
    return lambda request, env, ctx: entrypoint(ctx, env).fetch(request)
