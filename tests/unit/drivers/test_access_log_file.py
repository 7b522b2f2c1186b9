"""The access log's file, on a real disk."""

import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from littoral.drivers import access_log_file
from littoral.drivers.access_log_file import PIECE_BYTES, AccessLogFile, LogPlace


def until(count: int, *files: AccessLogFile) -> None:
    """Each has written or dropped so many lines."""
    wait = threading.Event().wait
    for _ in range(5000):
        if all(file.written + file.dropped == count for file in files):
            return
        wait(0.002)
    raise AssertionError("it has not come true")


def opened(path: Path, warned: list[str] | None = None, **bounds: int) -> AccessLogFile:
    settings = {"file_bytes": 1 << 20, "files": 3, "waiting_bytes": 1 << 20} | bounds
    said = warned if warned is not None else []
    return AccessLogFile(LogPlace(path, **settings), lambda count: b"dropped %d\n" % count, said.append)


def write(path: Path, *lines: bytes, **bounds: int) -> AccessLogFile:
    """As a process does that ends then."""
    file = opened(path, [], **bounds)
    for line in lines:
        file.put(line)
    file.close()
    return file


def test_what_was_put_is_there_once_it_is_closed_and_for_nobody_else_to_read(tmp_path: Path) -> None:
    path = tmp_path / "log" / "access-0.jsonl"
    lines = [b"%d\n" % number for number in range(10_000)]
    file = write(path, *lines)
    assert path.read_bytes() == b"".join(lines)
    assert (file.written, file.dropped) == (10_000, 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_next_process_goes_on_behind_a_line_that_was_torn(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, b"one\n")
    with path.open("ab") as torn:
        torn.write(b"tw")
    write(path, b"three\n")
    assert path.read_bytes() == b"one\ntw\nthree\n"


def test_full_files_move_on_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for number in range(5):
        write(path, b"%d\n" % number * 10, file_bytes=20, files=3)
    found = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert found == {"a.jsonl": b"4\n" * 10, "a.1.jsonl": b"3\n" * 10, "a.2.jsonl": b"2\n" * 10}
    write(path, b"5\n", file_bytes=20, files=1)
    assert {each.name for each in tmp_path.iterdir()} == {"a.jsonl"}, "as many as there may be now"


def test_a_batch_is_divided_between_files(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    line = b"x" * (PIECE_BYTES // 4 - 1) + b"\n"
    write(path, *[line] * 12, file_bytes=2 * PIECE_BYTES, waiting_bytes=1 << 30)
    assert [each.stat().st_size for each in sorted(tmp_path.iterdir())] == [2 * PIECE_BYTES, PIECE_BYTES]


def test_what_is_over_the_bound_is_dropped_and_the_log_says_so(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", *[b"12345\n"] * 10, waiting_bytes=20)
    assert (tmp_path / "a.jsonl").read_bytes() == b"12345\n" * 3 + b"dropped 7\n"
    assert (file.written, file.dropped) == (3, 7)


def test_a_disk_that_takes_nothing_stops_nobody_and_is_said_once(tmp_path: Path) -> None:
    warned: list[str] = []
    file = opened(tmp_path / "none" / "a.jsonl", warned)
    (tmp_path / "none").write_bytes(b"a file, where a directory is to be")
    for number in range(3):
        file.put(b"lost\n")
        until(number + 1, file)
    (tmp_path / "none").unlink()
    file.put(b"kept\n")
    file.close()
    lines = (tmp_path / "none" / "a.jsonl").read_bytes().splitlines()
    assert lines == [b"kept", b"dropped 3"]
    assert (file.written, file.dropped) == (1, 3)
    assert len(warned) == 2
    assert "cannot write access log" in warned[0]
    assert "lines are dropped, and counted" in warned[0]
    assert "is written again" in warned[1]


def test_a_disk_that_is_full_is_named(tmp_path: Path) -> None:
    warned: list[str] = []
    file = opened(Path("/dev/full"), warned)
    file.put(b"lost\n")
    file.close()
    assert (file.written, file.dropped) == (0, 1)
    assert "cannot write access log /dev/full: No space left on device" in warned[0]


def test_a_file_that_somebody_moves_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    file = opened(path)
    file.put(b"one\n")
    until(1, file)
    path.rename(tmp_path / "moved")
    file.put(b"two\n")
    until(2, file)
    shutil.rmtree(tmp_path)
    file.put(b"three\n")
    file.close()
    assert path.read_bytes() == b"three\n"
    assert not (tmp_path / "moved").exists()


def test_lines_go_elsewhere_once_it_is_told_so(tmp_path: Path) -> None:
    file = opened(tmp_path / "a.jsonl")
    file.put(b"one\n")
    until(1, file)
    file.configure(LogPlace(tmp_path / "elsewhere" / "a.jsonl", 100, 2, 100))
    file.put(b"two\n")
    file.close()
    assert [(tmp_path / name / "a.jsonl").read_bytes() for name in ("", "elsewhere")] == [b"one\n", b"two\n"]


def test_no_link_is_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"")
    (tmp_path / "a.jsonl").symlink_to(target)
    file = write(tmp_path / "a.jsonl", b"line\n")
    assert (target.read_bytes(), file.dropped) == (b"", 1)


def test_two_processes_may_write_one_file_and_move_it_on_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    files = [opened(path, file_bytes=500, files=100, waiting_bytes=1 << 20) for _ in range(2)]
    for number in range(500):
        for name, file in zip((b"a", b"b"), files, strict=True):
            file.put(b"%b %d\n" % (name, number))
        if number % 100 == 0:
            until(number + 1, *files)
    for file in files:
        file.close()
    found = b"".join(each.read_bytes() for each in tmp_path.iterdir()).splitlines()
    assert sorted(found) == sorted(b"%b %d" % (name, number) for name in (b"a", b"b") for number in range(500))


def test_a_disk_that_hangs_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log_file, "END_S", 0.05)
    path = tmp_path / "a.jsonl"
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    file = opened(path)
    # A pipe that nobody reads: its buffer takes some, and then whoever writes waits.
    file.put(b"x" * (1 << 19))
    file.close()
    assert file.written == 0
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.close(reader)
