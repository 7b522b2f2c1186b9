"""The module `pyodide.ffi`: between Python and JavaScript nothing needs to be converted here, as both sides are Python."""

from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any

from littoral.workers.failures import JsException
from littoral.workers.js.values import JsArray, JsObject, Uint8Array, to_javascript

JsProxy = JsObject
"""What `isinstance(value, JsProxy)` asks of: an object of JavaScript."""
JsBuffer = Uint8Array
JsTypedArray = Uint8Array
jsnull = None


class Proxy:
    """A Python object as JavaScript would hold it: it does what the object does, and `destroy` does nothing."""

    __slots__ = ("_target",)

    def __init__(self, target: Any) -> None:
        self._target = target

    def destroy(self) -> None:
        """Nothing: there is nothing to release."""

    def copy(self) -> "Proxy":
        """Itself."""
        return self

    def unwrap(self) -> Any:
        """The object."""
        return self._target

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._target(*arguments, **options)

    def __await__(self) -> Generator[Any, None, Any]:
        return _await(self._target).__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


async def _await(work: Awaitable[Any]) -> Any:
    return await work


def to_js(
    value: Any,
    /,
    *,
    depth: int = -1,
    pyproxies: object = None,
    create_pyproxies: bool = True,
    dict_converter: Callable[[Iterable[Any]], Any] | None = None,
    default_converter: object = None,
    eager_converter: object = None,
) -> Any:
    """Dicts as objects whose members are attributes, lists as arrays, bytes as typed arrays; all else as it is."""
    return to_javascript(value, dict_converter)


def create_proxy(value: Any, /, **options: object) -> Proxy:
    """`value`, with a `destroy` method."""
    return Proxy(value)


def create_once_callable(function: Callable[..., Any], /) -> Proxy:
    """`function`, with a `destroy` method."""
    return Proxy(function)


def destroy_proxies(proxies: object) -> None:
    """Nothing: there is nothing to release."""


def run_sync(work: Awaitable[Any]) -> Any:
    """Raises RuntimeError: a thread cannot wait for what its own event loop does."""
    close = getattr(work, "close", None)
    if close is not None:
        close()
    raise RuntimeError("pyodide.ffi.run_sync is not supported here: make the function async, and use await")


def can_run_sync() -> bool:
    """False: see `run_sync`."""
    return False


__all__ = [
    "JsArray",
    "JsBuffer",
    "JsException",
    "JsProxy",
    "JsTypedArray",
    "can_run_sync",
    "create_once_callable",
    "create_proxy",
    "destroy_proxies",
    "jsnull",
    "run_sync",
    "to_js",
]
