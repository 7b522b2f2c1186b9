import asyncio
import os
from pathlib import Path

import pytest

from littoral.core.errors import StorageError
from littoral.drivers.static_directory import PIECE_BYTES, StaticDirectory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "www"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "b.txt").write_bytes(b"hello")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_bytes(b"secret")
    return folder


def read(root: Path, *parts: str) -> bytes | None:
    found = StaticDirectory(root).open(parts)
    if found is None:
        return None
    try:
        return asyncio.run(found.read(0, found.facts.size))
    finally:
        found.close()


def test_files_are_read_and_directories_known(root: Path) -> None:
    assert read(root, "a", "b.txt") == b"hello"
    for parts in ((), ("a",)):
        found = StaticDirectory(root).open(parts)
        assert found is not None
        assert found.facts.is_directory
        found.close()


def test_nothing_outside_is_opened_whatever_leads_there(root: Path) -> None:
    (root / "link").symlink_to("../secret")
    (root / "inside").symlink_to("a/b.txt")
    (root / "folder").symlink_to("../private")
    assert read(root, "link") is None
    assert read(root, "inside") is None
    assert read(root, "folder", "key") is None


def test_what_is_no_file_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert read(root, "pipe") is None
    assert read(root, "missing") is None
    assert read(root, "a", "b.txt", "c") is None
    assert read(root, "x" * 300) is None
    assert read(root.parent / "gone", "a") is None


def test_no_descriptor_is_left(root: Path) -> None:
    os.mkfifo(root / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        for parts in (("a", "b.txt"), ("missing",), ("a", "missing"), ("pipe",), ("a", "b.txt", "c")):
            read(root, *parts)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_large_file_comes_in_pieces(root: Path) -> None:
    content = os.urandom(PIECE_BYTES + 10)
    (root / "large").write_bytes(content)
    assert read(root, "large") == content[:PIECE_BYTES]


def test_a_disk_that_fails_is_named(root: Path) -> None:
    found = StaticDirectory(root).open(("a", "b.txt"))
    assert found is not None
    found.close()
    with pytest.raises(StorageError, match=r"b\.txt"):
        asyncio.run(found.read(0, 5))
