"""What all bindings of a function have in common: a call to the node, and what it raises."""

from typing import Any, Protocol


class BindingError(Exception):
    """A call of a binding failed; the message says why and what to do."""


class BindingCaller(Protocol):
    """Carries a call to the node. `functions` implements it over a socket; tests, in memory."""

    async def __call__(self, operation: str, name: str, arguments: list[object], /) -> Any:
        """Ask for `operation` of what the node knows by `name`. Raises the BindingError of its kind of binding."""
        ...
