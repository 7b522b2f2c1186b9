"""`env`: what the platform gives a function."""

from collections.abc import Iterator, Mapping


class Env:
    """The app's bindings and variables as attributes."""

    def __init__(self, bindings: Mapping[str, object]) -> None:
        self.__dict__.update(bindings)

    def __getattr__(self, name: str) -> object:
        known = ", ".join(sorted(self.__dict__)) or "none"
        raise AttributeError(f"env has no binding or variable {name!r}; this app has: {known}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __repr__(self) -> str:
        return f"<Env {', '.join(sorted(self.__dict__))}>"
