"""What a worker sees of the file system, in a forked process of its own."""

import json
import os
from pathlib import Path

import pytest

from littoral.functions.confinement import view
from littoral.functions.confinement.confine import readable_paths

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process a file system of its own")


def test_copies_of_a_view_share_nothing_that_is_written(tmp_path: Path) -> None:
    for name in ("platform", "aside", "code"):
        (tmp_path / name).mkdir()
    prepared = view.prepare(readable_paths(), str(tmp_path / "platform"), str(tmp_path / "aside"))
    told, tell = os.pipe()
    if (pid := os.fork()) == 0:
        mounts = os.readlink("/proc/self/ns/mnt")
        first, second = view.copy(prepared, ()), view.copy(prepared, ())
        said = [os.readlink("/proc/self/ns/mnt") == mounts]
        if os.fork() == 0:
            view.enter(first, str(tmp_path / "code"), 1 << 20, alone=False)
            Path(view.TEMPORARY, "own").write_text("own")
            os._exit(0)
        os.wait()
        view.enter(second, str(tmp_path / "code"), 1 << 20, alone=False)
        os.write(tell, json.dumps([*said, os.listdir(view.TEMPORARY)]).encode())
        os._exit(0)
    os.close(tell)
    os.close(prepared)
    with open(told, "rb") as said_there:
        assert json.loads(said_there.read() or b"[]") == [True, []]
    os.waitpid(pid, 0)


def test_what_is_installed_below_tmp_stays_in_sight_and_nothing_else_of_it_does(tmp_path: Path) -> None:
    installed, other, code = (tmp_path / name for name in ("installed", "other", "code"))
    for folder in (installed, other, code):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    assert installed.is_relative_to(view.TEMPORARY)
    (tmp_path / "platform").mkdir()
    (tmp_path / "aside").mkdir()
    prepared = view.prepare([*readable_paths(), str(installed)], str(tmp_path / "platform"), str(tmp_path / "aside"))
    told, tell = os.pipe()
    if (pid := os.fork()) == 0:
        os.umask(0o077)
        view.enter(view.copy(prepared, [str(installed)]), str(code), 1 << 20, alone=False)
        os.setuid(12345)
        seen = {
            "installed": (installed / "file").read_text(),
            "code": Path(view.CODE, "file").read_text(),
            "other": other.exists(),
            "writes": os.access(installed, os.W_OK),
            "temporary": Path(view.TEMPORARY, "own").write_text("own"),
        }
        os.write(tell, json.dumps(seen).encode())
        os._exit(0)
    os.close(tell)
    os.close(prepared)
    with open(told, "rb") as said:
        seen = json.loads(said.read() or b"{}")
    os.waitpid(pid, 0)
    assert seen == {"installed": "installed", "code": "code", "other": False, "writes": False, "temporary": 3}
