"""What modules count on and nodes do not have, told when they are built."""

import ast

import pytest

from littoral.projects.missing import imported, missing_names, unknown_modules

MODULE = """\
import js
from js import HTMLRewriter, Response, Nonsense
from workers import DurableObject, WorkerEntrypoint, workflows


class Room(DurableObject):
    pass


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        await self.env.AI.run("@cf/meta/llama", {})
        await self.env["AI"].run("@hf/else", {})
        await self.env.AI.run("sorter", {})
        await self.env.OTHER.run("@cf/no/model")
        js.HTMLRewriter.new()
        return js.Response.new("")
"""


def test_what_raises_when_it_is_used_is_told_with_its_line():
    found = missing_names("src/entry.py", ast.parse(MODULE), "AI")
    assert [str(each) for each in found] == [
        "src/entry.py:2: js.HTMLRewriter raises an error when it is used. Use html.parser, or a package such as selectolax",
        "src/entry.py:2: js has no Nonsense here: there is no JavaScript under a function. docs/reference/workers.md lists its names",
        "src/entry.py:6: an app with a DurableObject does not start. Keep what it keeps in a key-value namespace (kv_namespaces)",
        "src/entry.py:12: there is no model @cf/meta/llama: models are files of the app. Put models/NAME.onnx beside its main module, and run NAME",
        "src/entry.py:13: there is no model @hf/else: models are files of the app. Put models/NAME.onnx beside its main module, and run NAME",
        "src/entry.py:16: js.HTMLRewriter raises an error when it is used. Use html.parser, or a package such as selectolax",
    ]
    assert missing_names("a.py", ast.parse("env.AI.run('@cf/x')"), None) == []


IMPORTS = """\
from __future__ import annotations
import os.path, fastapi
from own.deep import thing
from . import near
import workers, asgi
from workers.asgi import fetch
import yaml
import nosuch
from pyodide.ffi import to_js
try:
    import orjson
except ImportError:
    orjson = None
if TYPE_CHECKING:
    import mypy_stubs
def late():
    import lazily
class A:
    import inside
"""


def test_modules_that_nobody_has_are_told_and_no_others():
    needed = imported(ast.parse(IMPORTS))
    found = unknown_modules(
        "src/entry.py", needed, ["src/entry.py", "src/own/deep.py"], ["fastapi/__init__.py", "yaml.so"]
    )
    assert [(each.line, each.cause.partition(":")[0]) for each in found] == [
        (8, "there is no module nosuch"),
        (19, "there is no module inside"),
    ]
    assert str(found[0]).endswith("List its package in pyproject.toml or requirements.txt")


@pytest.mark.parametrize(
    "path", ["_cffi_backend.cpython-311-x86_64-linux-gnu.so", "_cffi_backend.py", "_cffi_backend/x.py"]
)
def test_a_package_may_be_one_file(path: str):
    assert unknown_modules("a.py", {"_cffi_backend": 1}, [], [path]) == []
