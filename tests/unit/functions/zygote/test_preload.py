"""Importing packages before there is an app to use them, in a process of its own: the test's would keep them."""

import subprocess
import sys
from pathlib import Path

import pytest

from littoral.functions.zygote.preload import packages_of

CODE = """
import sys
from littoral.functions.zygote import preload
print([preload.load(sys.argv[1], "main.py", frozenset(sys.argv[2:])), *sorted(n for n in sys.modules if n.startswith("p_"))])
"""


@pytest.fixture
def revision(tmp_path: Path) -> Path:
    packages = tmp_path / "python_modules"
    for name, code in {
        "p_good": "import p_single",
        "p_bad": "raise SystemExit(1)",
        "p_threads": "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        "p_shadowed": "raise AssertionError('the app has a module of that name')",
        "_private": "raise AssertionError('not for others')",
    }.items():
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").write_text(code)
    (packages / "p_single.py").touch()
    (packages / "p_good-1.0.dist-info").mkdir()
    (packages / "data").mkdir()
    (tmp_path / "p_shadowed.py").touch()
    return tmp_path


def load(revision: Path, *skipped: str) -> str:
    command = [sys.executable, "-c", CODE, str(revision), *skipped]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_packages_are_those_that_can_be_imported_by_their_names(revision: Path) -> None:
    assert list(packages_of(str(revision))) == ["p_bad", "p_good", "p_shadowed", "p_single", "p_threads"]
    assert list(packages_of("/nowhere")) == []


def test_one_that_starts_a_thread_is_named_and_left_out_the_next_time(revision: Path) -> None:
    assert load(revision) == "['p_threads', 'p_good', 'p_single', 'p_threads']"
    assert load(revision, "p_threads") == "['', 'p_good', 'p_single']"
