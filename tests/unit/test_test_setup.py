"""The promises of tests/conftest.py."""

import asyncio
import socket
from pathlib import Path

import hypothesis
import pytest


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
