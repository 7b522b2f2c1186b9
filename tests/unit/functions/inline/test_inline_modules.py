"""Two apps in one process, whose modules have the same names."""

import importlib
import sys
import textwrap
from collections.abc import Iterator
from contextvars import Context
from pathlib import Path
from types import ModuleType

import pytest

from littoral.functions.inline.inline_modules import InlineModules
from littoral.functions.worker.loader import NoHandler
from tests.support.app_modules import interpreter_as_it_was

FILES = {
    "main.py": """
        import importlib, json, typing
        from dataclasses import dataclass
        from importlib.metadata import version

        import pack.inner
        import pack.inner as alias
        import tools
        from pack import inner
        from pack.inner import NAME
        from workers import Response

        same = importlib.import_module("pack.inner") is pack.inner is alias is inner

        @dataclass
        class Item:
            price: "tools.Price"

        hints = typing.get_type_hints(Item)

        def later():
            import late
            return late.NAME
        """,
    "json.py": "raise RuntimeError('not the one of the standard library')",
    "tools.py": "NAME = '{name}'\nPrice = int",
    "late.py": "NAME = '{name}'",
    "pack/__init__.py": "from . import inner",
    "pack/inner.py": "from tools import NAME",
    "python_modules/lib/__init__.py": "",
    "python_modules/lib-{name}.dist-info/METADATA": "Metadata-Version: 2.1\nName: lib\nVersion: {name}\n",
}


@pytest.fixture(autouse=True)
def _interpreter(tmp_path: Path) -> Iterator[None]:
    import_module, finders = importlib.import_module, list(sys.meta_path)
    with interpreter_as_it_was(tmp_path):
        yield
    importlib.import_module, sys.meta_path[:] = import_module, finders


def written(folder: Path, name: str) -> Path:
    for path, text in FILES.items():
        file = folder / name / path.format(name=name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).format(name=name) if "{name}" in text else textwrap.dedent(text))
    return folder / name


def load(folder: Path, name: str) -> tuple[InlineModules, ModuleType]:
    modules = InlineModules(f"inline_{name}", str(written(folder, name)), "main.py")
    return modules, Context().run(modules.load)


def test_each_app_has_its_own_modules_by_whichever_way_it_imports_them(tmp_path: Path):
    for name in ("1", "2"):
        _, main = load(tmp_path, name)
        assert (main.NAME, main.tools.NAME, main.later()) == (name, name, name)
        assert main.same
        assert main.hints == {"price": int}
        assert main.json is sys.modules["json"], "what is of the standard library is shared"
    assert not {"main", "tools", "late", "pack"} & sys.modules.keys(), "and the process has none of these names"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("tools")


def test_what_an_app_imports_by_name_while_it_answers_is_its_own(tmp_path: Path):
    for name in ("1", "2"):
        modules, _ = load(tmp_path, name)
        context = Context()
        context.run(modules.load)
        tools = context.run(importlib.import_module, "tools")
        assert name == tools.NAME
        version = context.run(importlib.metadata.version, "lib")
        assert version == name


def test_nothing_is_written_where_a_revision_lies(tmp_path: Path):
    load(tmp_path, "1")
    assert not list(tmp_path.rglob("*.pyc"))


def test_an_app_that_has_gone_is_forgotten(tmp_path: Path):
    modules, _ = load(tmp_path, "1")
    other, main = load(tmp_path, "2")
    modules.forget()
    assert [name for name in sys.modules if name.startswith("inline_1")] == []
    assert main.later() == "2"
    other.forget()


def test_a_main_file_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(NoHandler, match=r"no file 'main.py'"):
        InlineModules("inline_3", str(tmp_path), "main.py")
