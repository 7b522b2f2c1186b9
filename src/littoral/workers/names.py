"""The names under which a function imports what is in this package.

    workers, workers.asgi, ...    littoral.workers, littoral.workers.asgi, ...
    js                            littoral.workers.js
    pyodide, pyodide.ffi, ...     littoral.workers.pyodide, littoral.workers.pyodide.ffi, ...
    asgi                          littoral.workers.asgi, unless the app has a module of that name

They are the same modules, so that a class is the same whichever name it was imported by, and each is loaded when it is
first imported.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_FIRST = {"workers": "littoral.workers", "js": "littoral.workers.js", "pyodide": "littoral.workers.pyodide"}
"""They win over what an app brings along: stubs of the same names, for editors."""
_LAST = {"asgi": "littoral.workers.asgi"}


class _Alias(MetaPathFinder, Loader):
    """Finds modules under other names than their own."""

    def __init__(self, roots: dict[str, str]) -> None:
        self._roots = roots

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, rest = fullname.partition(".")
        if root not in self._roots:
            return None
        real = ".".join([self._roots[root], rest] if rest else [self._roots[root]])
        found = find_spec(real)
        # It is a package where the real one is: then it may have modules of its own.
        return found and ModuleSpec(
            fullname, self, origin=real, is_package=found.submodule_search_locations is not None
        )

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        assert module.__spec__.origin is not None
        # The import system gives whatever stands here afterwards.
        sys.modules[module.__spec__.name] = importlib.import_module(module.__spec__.origin)


_FIRST_FINDER, _LAST_FINDER = _Alias(_FIRST), _Alias(_LAST)


def install() -> None:
    """Make the names importable in this process; twice is once."""
    if _FIRST_FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FIRST_FINDER)
        sys.meta_path.append(_LAST_FINDER)
