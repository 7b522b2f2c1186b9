"""docs/reference/workers.md says of every name whether it is there."""

import re
from pathlib import Path

import littoral.workers
from littoral.workers import js
from littoral.workers.pyodide import ffi, http

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "workers.md").read_text()
OF_PYTHON = {"KVError", "KVKey", "KVList", "KVNamespace", "Env", "Context"}
"""Documented by what they are for, not by name."""


def documented() -> set[str]:
    return {word for code in re.findall(r"`([^`]+)`", PAGE) for word in re.findall(r"\w+", code)}


def test_every_name_is_on_the_page() -> None:
    names = {*littoral.workers.__all__, *js.names(), *ffi.__all__, *http.__all__}
    assert sorted(names - documented() - OF_PYTHON - {"can_run_sync"}) == []
