"""Where the code of apps is unpacked."""

import os
import stat
from pathlib import Path

import pytest

from littoral.core.errors import StartupError
from littoral.node import code_place as module
from littoral.node.code_place import code_place, remove_code, remove_plain_code


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data with a blank"


@pytest.fixture
def runtime(data_dir: Path):
    """A place in memory: that of this machine."""
    yield {}
    remove_code(data_dir, {})


def test_beside_a_store_that_is_not_encrypted_it_is_on_the_disk(data_dir):
    assert code_place(data_dir, {}, encrypted=False) == data_dir


def test_beside_an_encrypted_one_it_is_in_memory_and_for_its_owner(data_dir, runtime):
    place = code_place(data_dir, runtime, encrypted=True)
    assert module._file_system(place) == "tmpfs"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    (place / "apps").mkdir()
    # The next hub of the node finds what the last one has unpacked; another node has another place.
    assert code_place(data_dir, runtime, encrypted=True) == place
    assert code_place(data_dir.with_name("other"), runtime, encrypted=True) != place
    remove_code(data_dir.with_name("other"), runtime)
    remove_code(data_dir, runtime)
    assert not place.exists()


def test_a_runtime_directory_that_is_on_the_disk_is_not_taken(data_dir, runtime, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(module, "_file_system", lambda parent: "ext4" if parent == tmp_path / "run" else "tmpfs")
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert code_place(data_dir, environment, encrypted=True).parent == module.SHARED_MEMORY
    monkeypatch.setattr(module, "_file_system", lambda parent: "tmpfs")
    assert code_place(data_dir, environment, encrypted=True).parent == tmp_path / "run"


def test_without_memory_the_node_does_not_start(data_dir, monkeypatch):
    monkeypatch.setattr(module, "_file_system", lambda parent: "ext4")
    with pytest.raises(StartupError, match="there is no file system in memory for their code"):
        code_place(data_dir, {}, encrypted=True)


@pytest.mark.parametrize("kind", ["readable", "link", "file"])
def test_what_somebody_else_made_there_is_refused(data_dir, runtime, tmp_path, kind):
    place = code_place(data_dir, runtime, encrypted=True)
    if kind == "readable":
        place.chmod(0o755)
    else:
        place.rmdir()
        if kind == "link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            place.symlink_to(tmp_path / "elsewhere")
        else:
            place.write_bytes(b"")
    try:
        with pytest.raises(StartupError, match=r"only this node's user can use|File exists"):
            code_place(data_dir, runtime, encrypted=True)
    finally:
        if kind != "readable":
            place.unlink()


def test_code_of_before_is_removed(data_dir):
    os.makedirs(data_dir / "apps" / "shop-1")
    remove_plain_code(data_dir)
    assert not (data_dir / "apps").exists()
    remove_plain_code(data_dir)
