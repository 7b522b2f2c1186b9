"""Finding what answers in an app's main module."""

import importlib.util
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, NoReturn

from littoral.workers import Context, Env, Request, WorkerEntrypoint, names
from littoral.workers.entrypoint import NOT_CALLABLE

Handler = Callable[[Request, Env, Context], Awaitable[object]]
EventHandler = Callable[[Any, Env, Context], Awaitable[object]]
"""Of a cron trigger's ScheduledController, or a queue's MessageBatch."""

PACKAGES = "python_modules"
"""The folder of a revision that holds other people's packages, as `littoral build` puts them there."""
APPLICATIONS = ("app", "application")
"""Names that an ASGI or WSGI application has in a module without an entry point."""


class NoHandler(Exception):
    """The app's module has nothing that could answer a request."""


@dataclass(frozen=True)
class App:
    """What an app answers to."""

    fetch: Handler
    scheduled: EventHandler | None = None
    queue: EventHandler | None = None
    entrypoint: type | None = None
    """The class whose methods other apps may call; None where the module has none."""
    module: ModuleType | None = None
    """Where its other entry points are."""

    def named(self, name: str) -> "App":
        """An entry point of the module by its name, or the app's own for "". Raises NoHandler."""
        if not name:
            return self
        found = getattr(self.module, name, None)
        if not isinstance(found, type) or not issubclass(found, WorkerEntrypoint) or found is WorkerEntrypoint:
            raise NoHandler(f"the app has no class {name!r} that is a WorkerEntrypoint")
        return _class_app(found, least=False)

    def exported(self, name: str) -> "App | None":
        """As `named`, for the app's own code; None where there is none."""
        try:
            return self.named(name)
        except NoHandler:
            return None

    async def call(self, method: str, arguments: list[Any], named: dict[str, Any], env: Env, ctx: Context) -> object:
        """Call a method of the entry point's own. Raises NoHandler where there is none; whatever the method raises."""
        # What is no function of the class's own (a base's attribute, an inner class) is not meant for others.
        found = getattr(self.entrypoint, method, None)
        if self.entrypoint is None or method.startswith("_") or method in NOT_CALLABLE or not inspect.isroutine(found):
            raise NoHandler(f"the app has no method {method!r} for other apps to call")
        return await _awaited(getattr(self.entrypoint(ctx, env), method))(*arguments, **named)


def load_module(directory: str, main: str) -> ModuleType:
    """Import the file `main` of the revision, under its own name, with its folder importable.

    Raises whatever the app's code raises; NoHandler if there is no such file.
    """
    path = os.path.join(directory, main)
    if not os.path.isfile(path):
        raise NoHandler(f"there is no file {main!r} in the revision; set spec.main to the module with the entry point")
    names.install()
    sys.dont_write_bytecode = True
    # What was packed with the app comes before what the platform happens to have installed.
    sys.path[:0] = [os.path.dirname(path), os.path.join(directory, PACKAGES)]
    name = os.path.splitext(os.path.basename(path))[0]
    loader = _Source(name, path)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


class _Source(SourceFileLoader):
    """Does not look for bytecode: nothing writes any where an app's code is, and a cold start waits for the look."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def find_handler(module: ModuleType) -> Handler:
    """What answers requests. Raises NoHandler."""
    return find_app(module).fetch


def find_app(module: ModuleType) -> App:
    """What the module answers to. The first of these that it has decides:

        class Default, else its only WorkerEntrypoint    its methods fetch, scheduled, queue
        on_fetch(request, env, ctx), else fetch(...)
        app, else application                            an ASGI or a WSGI application
        on_scheduled, on_queue                           alone, or beside one of the latter two

    All of them may be `async def` or `def`, and take as many of their arguments as they like. Raises NoHandler.
    """
    entrypoint = getattr(module, "Default", None) or _only_entrypoint(module)
    if entrypoint is not None:
        return replace(_class_app(entrypoint), module=module)
    for name in ("on_fetch", "fetch"):
        function = getattr(module, name, None)
        # `from workers import fetch` is no handler.
        if callable(function) and (name == "on_fetch" or function.__module__ == module.__name__):
            return _function_app(module, function, javascript=name == "on_fetch")
    for name in APPLICATIONS:
        handler = _application(getattr(module, name, None))
        if handler is not None:
            return App(handler, *_module_events(module))
    events = _module_events(module)
    if any(events):
        return App(_refuse(f"module {module.__name__} has no on_fetch"), *events)
    raise NoHandler(
        f"{module.__name__} defines neither `class Default(WorkerEntrypoint)` with `async def fetch(self, request)` "
        "nor `async def on_fetch(request, env, ctx)` nor an ASGI or WSGI application named `app`"
    )


def _only_entrypoint(module: ModuleType) -> type | None:
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, WorkerEntrypoint) and value.__module__ == module.__name__
    ]
    if len(found) > 1:
        several = ", ".join(entry.__name__ for entry in found)
        raise NoHandler(f"{module.__name__} defines several entrypoints ({several}); call one of them Default")
    return found[0] if found else None


def _class_app(entrypoint: type, *, least: bool = True) -> App:
    """least: it has to answer something."""
    fetch = getattr(entrypoint, "fetch", None)
    scheduled = _event_method(entrypoint, "scheduled")
    queue = _event_method(entrypoint, "queue")
    if callable(fetch):
        return App(_class_handler(entrypoint, fetch), scheduled, queue, entrypoint)
    if scheduled is None and queue is None and least:
        raise NoHandler(f"class {entrypoint.__name__} has no method fetch")

    return App(_refuse(f"class {entrypoint.__name__} has no method fetch"), scheduled, queue, entrypoint)


def _refuse(cause: str) -> Handler:
    """What answers requests in an app that has events only."""

    async def refuse(*_: object) -> NoReturn:
        raise NoHandler(f"{cause}: the app answers no requests of clients")

    return refuse


def _class_handler(entrypoint: type, fetch: Callable[..., Any]) -> Handler:
    takes_request = _taken(fetch, 2) == 2
    if not inspect.iscoroutinefunction(fetch):
        arguments = (lambda request: (request,)) if takes_request else (lambda request: ())
        return lambda request, env, ctx: _awaited(entrypoint(ctx, env).fetch)(*arguments(request))
    if takes_request:
        return lambda request, env, ctx: entrypoint(ctx, env).fetch(request)
    return lambda request, env, ctx: entrypoint(ctx, env).fetch()


def _event_method(entrypoint: type, name: str) -> EventHandler | None:
    method = getattr(entrypoint, name, None)
    if not callable(method):
        return None
    taken = _taken(method, 4)

    def handle(event: Any, env: Env, ctx: Context) -> Awaitable[object]:
        instance = entrypoint(ctx, env)
        return _awaited(getattr(instance, name))(*(event, env, ctx)[: taken - 1])

    return handle


def _function_app(module: ModuleType, function: Callable[..., Any], *, javascript: bool) -> App:
    handle = _function(function)
    if javascript and not getattr(function, "uses_python_types", False):
        # Only code of this style needs it.
        from littoral.workers.js.web import Request as JsRequest  # noqa: PLC0415

        plain = handle

        def handle(request: Request, env: Env, ctx: Context) -> Awaitable[object]:
            return plain(JsRequest.of(request), env, ctx)

    return App(handle, *_module_events(module))


def _module_events(module: ModuleType) -> tuple[EventHandler | None, EventHandler | None]:
    """What a module without a class does for cron triggers, and for queues."""
    scheduled, queue = (getattr(module, name, None) for name in ("on_scheduled", "on_queue"))
    return _function(scheduled) if callable(scheduled) else None, _function(queue) if callable(queue) else None


def _function(function: Callable[..., Any]) -> EventHandler:
    taken = _taken(function, 3)
    call = _awaited(function)
    return lambda event, env, ctx: call(*(event, env, ctx)[:taken])


def _application(value: Any) -> Handler | None:
    """A handler for an ASGI or WSGI application; None for what is neither."""
    if not callable(value) or isinstance(value, type):
        return None
    # Each adapter is loaded by apps of its kind only.
    call = value if inspect.isfunction(value) else type(value).__call__
    wanted = _taken(call, 4) - (0 if inspect.isfunction(value) else 1)
    if inspect.iscoroutinefunction(call) and wanted == 3:
        from littoral.workers import asgi  # noqa: PLC0415

        return lambda request, env, ctx: asgi.fetch(value, request, env, ctx)
    if not inspect.iscoroutinefunction(call) and wanted == 2:
        from littoral.workers import wsgi  # noqa: PLC0415

        return lambda request, env, ctx: wsgi.fetch(value, request, env, ctx)
    return None


def _taken(function: Callable[..., Any], most: int) -> int:
    """How many arguments it takes by position, up to `most`."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return most
    positional = [parameter for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    return min(len([one for one in positional if one.kind is not one.VAR_KEYWORD]), most)


def _awaited(function: Callable[..., Any]) -> Callable[..., Awaitable[object]]:
    """The same function, as one whose result is awaited."""
    if inspect.iscoroutinefunction(function):
        return function

    async def call(*arguments: Any, **named: Any) -> object:
        result = function(*arguments, **named)
        return await result if inspect.isawaitable(result) else result

    return call
