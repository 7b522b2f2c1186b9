"""A data directory on a real file system."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from littoral.core.errors import InvalidInput, NotFound, StorageError, StorageFull, StorageReadOnly
from littoral.drivers.disk import LocalDisk, storage_error
from littoral.testing.disk import SimDisk
from littoral.testing.random import SeededRandom


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=["local", "simulated"])
def any_disk(request: pytest.FixtureRequest, tmp_path: Path) -> LocalDisk | SimDisk:
    return LocalDisk(tmp_path / "data") if request.param == "local" else SimDisk(SeededRandom(1))


class TestContract:
    """What holds for every `core.disk.Disk`."""

    def test_files_are_replaced_read_and_removed(self, any_disk: LocalDisk | SimDisk):
        assert any_disk.read("identity/node.pem") is None
        any_disk.write("identity/node.pem", b"one")
        any_disk.write("identity/node.pem", b"two", secret=True)
        assert any_disk.read("identity/node.pem") == b"two"
        any_disk.remove("identity/node.pem")
        any_disk.remove("identity/node.pem")
        assert any_disk.read("identity/node.pem") is None

    def test_empty_and_large_files(self, any_disk: LocalDisk | SimDisk):
        any_disk.write("empty", b"")
        any_disk.write("large", b"x" * 3_000_000)
        assert any_disk.read("empty") == b""
        assert any_disk.read("large") == b"x" * 3_000_000

    def test_large_files_are_written_and_read_in_places(self, any_disk: LocalDisk | SimDisk):
        assert any_disk.size("blobs/one") is None
        any_disk.write_at("blobs/one", 0, b"0123456789")
        any_disk.write_at("blobs/one", 8, b"abcd")
        any_disk.write_at("blobs/one", 0, b"")
        any_disk.sync("blobs/one")
        assert any_disk.size("blobs/one") == 12
        assert any_disk.read("blobs/one") == b"01234567abcd"
        assert any_disk.read_at("blobs/one", 6, 4) == b"67ab"
        assert any_disk.read_at("blobs/one", 10, 100) == b"cd"
        assert any_disk.read_at("blobs/one", 100, 1) == b""

    def test_a_file_is_given_another_name(self, any_disk: LocalDisk | SimDisk):
        for path in ("a/one", "a/b/two", "other/three"):
            any_disk.write(path, path.encode())
        assert any_disk.files("a") == ["a/b/two", "a/one"]
        assert any_disk.files("nothing") == []
        any_disk.move("a/one", "new/c/one")
        any_disk.move("a/b/two", "other/three")
        assert any_disk.files("a") == []
        assert any_disk.files("new") == ["new/c/one"]
        assert any_disk.read("other/three") == b"a/b/two"

    def test_what_is_not_there_is_said(self, any_disk: LocalDisk | SimDisk):
        for attempt in (
            lambda: any_disk.read_at("none", 0, 1),
            lambda: any_disk.sync("none"),
            lambda: any_disk.move("none", "other"),
        ):
            with pytest.raises(NotFound, match="none: there is no such file"):
                attempt()

    def test_free_space_is_known(self, any_disk: LocalDisk | SimDisk):
        assert any_disk.free_bytes() > 0


def test_directories_and_secrets_are_for_their_owner_only(tmp_path: Path):
    disk = LocalDisk(tmp_path / "data")
    disk.write("identity/key.pem", b"secret", secret=True)
    disk.write("VERSION", b"1")
    assert mode(tmp_path / "data") == mode(tmp_path / "data" / "identity") == 0o700
    assert mode(tmp_path / "data" / "identity" / "key.pem") == 0o600


def test_a_secret_is_never_readable_by_others_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []
    fsync = os.fsync

    def watching(descriptor: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    disk = LocalDisk(tmp_path)
    monkeypatch.setattr(os, "fsync", watching)
    # What a crash left behind, with a mode for everybody.
    (tmp_path / ".key.tmp").write_bytes(b"half")
    disk.write("key", b"secret", secret=True)
    assert seen[0] == 0o600
    assert len(seen) == 2, "the file is synced, then its directory"


def test_nothing_is_left_aside(tmp_path: Path):
    disk = LocalDisk(tmp_path)
    disk.write("a", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", ""])
def test_paths_stay_inside(tmp_path: Path, path: str):
    with pytest.raises(InvalidInput, match="does not stay inside the data directory"):
        LocalDisk(tmp_path).write(path, b"")


def test_databases_lie_in_the_directory(tmp_path: Path):
    disk = LocalDisk(tmp_path / "data")
    assert disk.database_path("sql/app.db") == str(tmp_path / "data" / "sql" / "app.db")
    assert (tmp_path / "data" / "sql").is_dir()
    assert (disk.vfs, disk.shared_memory) == (None, True)


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path):
    (tmp_path / "data").write_text("x")
    with pytest.raises(StorageError, match="data: a file of that name is in the way"):
        LocalDisk(tmp_path / "data")


def test_a_full_disk_leaves_the_old_file_and_says_what_to_do(tmp_path: Path):
    """A limit on the size of files stands in for the full disk: the write fails half way, as there."""
    disk = LocalDisk(tmp_path)
    disk.write("state", b"old")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(StorageFull, match="cannot write file .*state: .*Free space on this file system") as caught:
            disk.write("state", b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.status == 507
    assert disk.read("state") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.fixture
def mount(tmp_path: Path):
    """Mount a small tmpfs, where privileges allow; unmounted afterwards."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False, text=True
    )
    if done.returncode:
        pytest.skip(f"mounting needs privileges: {done.stderr.strip()}")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)

    yield folder, remount
    subprocess.run(["umount", folder], check=True)


def test_a_really_full_and_a_really_read_only_file_system(mount: tuple[Path, Callable[[str], None]]):
    folder, remount = mount
    disk = LocalDisk(folder)
    disk.write("state", b"old")
    with pytest.raises(StorageFull, match="No space left on device"):
        disk.write("state", b"x" * 100_000)
    assert disk.read("state") == b"old"
    assert disk.free_bytes() > 50_000, "what was half written is gone"
    remount("ro")
    with pytest.raises(StorageReadOnly, match="Read-only file system.*how the file system is mounted"):
        disk.write("state", b"new")
    with pytest.raises(StorageReadOnly):
        disk.remove("state")
    with pytest.raises(StorageReadOnly):
        LocalDisk(folder / "another")
    assert disk.read("state") == b"old"


WITHOUT_PERMISSION = """
import os, sys
from pathlib import Path
from littoral.core.errors import StorageReadOnly
from littoral.drivers.disk import LocalDisk
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    disk = LocalDisk(Path(os.getcwd()) / "data")
    disk.write("state", b"new")
except StorageReadOnly as error:
    print(error)
"""


@pytest.mark.parametrize("mode", [0o555, 0o700])
def test_a_directory_of_another_user_is_read_only(mode: int):
    """In a process of its own: root may write everywhere, so it becomes nobody."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(mode if os.getuid() == 0 else 0o555)
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PERMISSION],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    folder.rmdir()
    assert "Permission denied. Check how the file system is mounted" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, StorageReadOnly),
        (errno.EACCES, StorageReadOnly),
        (errno.EIO, StorageError),
    ],
)
def test_every_refusal_of_the_system_has_its_error(number: int, expected: type[StorageError]):
    error = storage_error("write file", "x", OSError(number, os.strerror(number)))
    assert type(error) is expected
    assert error.cause == os.strerror(number)
    assert error.remedy


def test_large_files_are_for_their_owner_only(tmp_path: Path):
    disk = LocalDisk(tmp_path)
    disk.write_at("blobs/one", 0, b"secret")
    assert mode(tmp_path / "blobs") == 0o700
    assert mode(tmp_path / "blobs" / "one") == 0o600


def test_files_in_places_stay_inside_the_directory(tmp_path: Path):
    disk = LocalDisk(tmp_path / "data")
    with pytest.raises(InvalidInput):
        disk.write_at("../outside", 0, b"x")
    with pytest.raises(InvalidInput):
        disk.move("inside", "/outside")
