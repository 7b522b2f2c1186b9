"""Sockets that one process makes and another serves at."""

import os
import socket
from pathlib import Path

import pytest

from littoral.functions.connection import peer_pid
from littoral.functions.zygote.socket_files import bind_anew


def test_nobody_connects_before_whoever_serves_listens_and_the_kernel_says_who_that_is(tmp_path: Path) -> None:
    path = str(tmp_path / "place" / "0")
    bound = bind_anew(path)
    with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as early:
        early.connect(path)
    wait, go_on = os.pipe()
    if (pid := os.fork()) == 0:
        bound.listen()
        os.close(go_on)
        os.read(wait, 1)
        os._exit(0)
    os.close(wait)
    with bound, socket.socket(socket.AF_UNIX) as client:
        while client.connect_ex(path):
            os.sched_yield()
        assert peer_pid(client) == pid
    os.close(go_on)
    os.waitpid(pid, 0)


def test_what_is_left_at_its_path_makes_room(tmp_path: Path) -> None:
    path = tmp_path / "0"
    with bind_anew(str(path)):
        former = path.stat().st_ino
        with bind_anew(str(path)):
            assert path.stat().st_ino != former
