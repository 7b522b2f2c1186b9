"""The modules of one app in a process that runs several: each app has names of its own.

An app's module `utils` is `<root>.utils` to the process, where the root is the app's revision. That is what `sys.modules`, tracebacks
and classes' `__module__` say; to the app's code, and to the packages that travel with it, it is `utils`: their `import` statements, and
`importlib.import_module`, look for a name among the app's own files first, and take what is not there from the process. What is of the
standard library, or of the platform (`workers`, `js`, `pyodide`), is shared.

What is not kept apart: what a module does to what is shared. Machine code stays loaded when its app has gone.
"""

import builtins
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import DistributionFinder, MetadataPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from littoral.functions.worker.loader import PACKAGES, NoHandler
from littoral.workers import names

_OF_PLATFORM = frozenset({"workers", "js", "pyodide"})
_import_module = importlib.import_module
_builtin_import = builtins.__import__


class InlineModules:
    """Of one revision of an app. Until `forget`."""

    def __init__(self, root: str, directory: str, main: str) -> None:
        """root: what the names of its modules begin with; no other app's. directory: of the revision. main: the file with the entry
        point, relative to it. Raises NoHandler where there is none."""
        path = Path(directory, main)
        if not path.is_file():
            cause = f"there is no file {main!r} in the revision; set spec.main to the module with the entry point"
            raise NoHandler(cause)
        self.root = root
        self._main = path.stem
        self.folders = [str(path.parent), os.path.join(directory, PACKAGES)]
        self.builtins = {**vars(builtins), "__import__": self._import}
        self._own: dict[str, bool] = {}
        """Whether a name without a dot is the app's."""
        package = ModuleType(root)
        package.__path__ = self.folders
        sys.modules[root] = package
        _finder.apps[root] = self
        _install()

    def load(self) -> ModuleType:
        """Import the main module. Raises whatever the app's code raises."""
        _current.set(self)
        return _import_module(f"{self.root}.{self._main}")

    def forget(self) -> None:
        """Nothing of it runs any more."""
        _finder.apps.pop(self.root, None)
        prefix = f"{self.root}."
        for name in [each for each in sys.modules if each == self.root or each.startswith(prefix)]:
            del sys.modules[name]
        for path in self.folders:
            sys.path_importer_cache.pop(path, None)

    def real(self, name: str) -> str:
        """A module's name as the process knows it."""
        top = name.partition(".")[0]
        own = self._own.get(top)
        if own is None:
            own = self._own[top] = self._has(top)
        return f"{self.root}.{name}" if own else name

    def _has(self, top: str) -> bool:
        if top in _OF_PLATFORM or top in sys.stdlib_module_names or top == self.root:
            return False
        return PathFinder.find_spec(f"{self.root}.{top}", self.folders) is not None

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the parameters of __import__
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What an `import` statement of the app's code calls."""
        real = name if level else self.real(name)
        if real == name:
            return _builtin_import(name, globals, locals, fromlist or (), level)
        if fromlist:
            return _builtin_import(real, globals, locals, fromlist, 0)
        _import_module(real)
        # `import a.b` binds `a`.
        return sys.modules[f"{self.root}.{name.partition('.')[0]}"]


_current: ContextVar[InlineModules | None] = ContextVar("modules", default=None)
"""Of the app whose code runs."""


class _Loader(SourceFileLoader):
    """Of an app's source: its code finds the app's names. Nothing is written beside it."""

    def __init__(self, name: str, path: str, modules: InlineModules) -> None:
        super().__init__(name, path)
        self._modules = modules

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._modules.builtins
        super().exec_module(module)

    def set_data(self, path: Any, data: Any, *, _mode: int = 0o666) -> None:
        """No bytecode: a revision is not changed where it lies."""


class _Finder(MetaPathFinder):
    """Finds the modules of all apps of the process."""

    def __init__(self) -> None:
        self.apps: dict[str, InlineModules] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, rest = fullname.partition(".")
        modules = self.apps.get(root)
        if modules is None or not rest:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(fullname, spec.loader.path, modules)
        return spec

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterator[importlib.metadata.Distribution]:
        """What packages that travel with the app say of themselves (importlib.metadata)."""
        modules = _current.get()
        if modules is not None:
            name = context.name if context is not None else None
            own = DistributionFinder.Context(name=name, path=modules.folders)
            yield from MetadataPathFinder.find_distributions(own)


_finder = _Finder()


def _import_for_app(name: str, package: str | None = None) -> ModuleType:
    """importlib.import_module, by the names of the app whose code calls it."""
    modules = _current.get()
    if modules is None or name.startswith("."):
        return _import_module(name, package)
    return _import_module(modules.real(name))


def _install() -> None:
    """Once a process."""
    if _finder not in sys.meta_path:
        names.install()
        sys.meta_path.insert(0, _finder)
        importlib.import_module = _import_for_app
