"""The promises of tests/conftest.py."""

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

from tests.conftest import TESTS, begun_in_order
from tests.support.ports import free_base_port, free_hundred

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "8.8.8.8", "example.com"])
def test_no_socket_leaves_this_machine(address: str):
    with socket.socket() as outgoing, pytest.raises(Exception, match="tests (stay on this machine|do not look up)"):
        outgoing.connect((address, 80))


def test_no_datagram_leaves_this_machine():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outgoing,
        pytest.raises(Exception, match="tests stay on this machine"),
    ):
        outgoing.sendto(b"?", ("192.0.2.1", 53))


def test_asyncio_is_held_back_too():
    async def leave() -> None:
        await asyncio.open_connection("example.com", 80)

    with pytest.raises(Exception, match="tests do not look up names"):
        asyncio.run(leave())


def test_the_loopback_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]) as client:
        assert client.getpeername() == server.getsockname()


def test_unix_sockets_are_open(tmp_path: Path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)


def test_the_seed_of_the_run_is_printed_and_drives_hypothesis(seed: int, pytestconfig: pytest.Config):
    header = pytestconfig.hook.pytest_report_header(config=pytestconfig, start_path=Path())
    assert any(f"LITTORAL_TEST_SEED={seed} repeats this run" in line for line in header)
    assert pytestconfig.option.hypothesis_seed is not None
    assert hypothesis.settings().print_blob


def test_ports_that_one_test_has_are_given_to_no_other_in_this_process_or_another():
    program = "from tests.support.ports import *; print(free_base_port(1), free_hundred())"
    mine = {free_base_port(1), free_base_port(1), free_hundred(), free_hundred()}
    assert len(mine) == 4
    other = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert mine.isdisjoint(map(int, other.stdout.split()))


def test_who_lets_the_tests_run_without_a_terminal_runs_the_same_tests():
    for number in (signal.SIGINT, signal.SIGHUP):
        assert signal.getsignal(number) != signal.SIG_IGN, "processes that tests start would be deaf to it as well"


def test_files_that_take_long_are_begun_first_and_one_that_computes_beside_two_that_wait():
    given = ["unit/a.py", "e2e/a.py", "e2e/b.py", "e2e/c.py", "sim/a.py", "sim/b.py", "sim/crash/c.py", "unit/b.py"]
    begun = begun_in_order([*(TESTS / each for each in given), Path("/elsewhere/test_d.py")])
    assert [str(path.relative_to(TESTS)) for path in begun[:-1]] == [
        *("e2e/a.py", "e2e/b.py", "sim/a.py", "e2e/c.py", "sim/b.py", "sim/crash/c.py"),
        *("unit/a.py", "unit/b.py"),
    ]
    assert begun[-1] == Path("/elsewhere/test_d.py")
