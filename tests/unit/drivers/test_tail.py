"""Lines that somebody else adds to a file."""

from pathlib import Path

from littoral.drivers.tail import Tail


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_only_what_is_added_and_only_whole_lines(tmp_path: Path):
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    tail = Tail(path)
    assert tail.new_lines() == []
    add(path, b"one\ntw")
    assert tail.new_lines() == [b"one"]
    add(path, b"o\n")
    assert tail.new_lines() == [b"two"]


def test_a_file_that_comes_later_or_is_begun_anew(tmp_path: Path):
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.new_lines() == []
    add(path, b"first\n")
    assert tail.new_lines() == [b"first"]
    path.rename(tmp_path / "log.1")
    add(path, b"a line that is longer than all of the former file\n")
    assert tail.new_lines() == [b"a line that is longer than all of the former file"]
    path.write_bytes(b"cut\n")
    assert tail.new_lines() == [b"cut"]
