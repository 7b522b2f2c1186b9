"""Listening sockets."""

import errno
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from littoral.core.errors import StartupError
from littoral.drivers.listeners import _bind_error, listen_tcp, listen_unix, parse_address, port_holder


def test_a_free_port_is_taken_and_connections_wait_in_it():
    with listen_tcp("127.0.0.1:0") as listener:
        host, port = listener.getsockname()
        assert host == "127.0.0.1"
        with socket.create_connection((host, port)):
            pass
        assert listener.get_inheritable()
        assert not listener.getblocking()


def test_ipv6():
    try:
        listener = listen_tcp("[::1]:0")
    except StartupError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    with listener:
        assert listener.getsockname()[0] == "::1"


def test_a_port_in_use_names_address_holder_and_remedy():
    with listen_tcp("127.0.0.1:0") as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(StartupError) as caught:
            listen_tcp(address)
    assert str(caught.value).startswith(f"cannot listen on {address}: the port is in use by ")
    assert f"(pid {os.getpid()})" in str(caught.value)
    assert str(caught.value).endswith("Stop it, or give this listener another port")


def test_a_port_that_nobody_holds_has_no_holder():
    with listen_tcp("127.0.0.1:0") as listener:
        port = listener.getsockname()[1]
        assert f"(pid {os.getpid()})" in port_holder(port)
    assert not port_holder(port)


@pytest.mark.parametrize("address", ["8080", "localhost", ":1", "host:port", "127.0.0.1:70000"])
def test_what_is_no_address_is_refused(address: str):
    with pytest.raises(StartupError, match='this is no address. Write "host:port"'):
        listen_tcp(address)


def test_addresses():
    assert parse_address("localhost:80") == ("localhost", 80)
    assert parse_address("[::1]:8443") == ("::1", 8443)


@pytest.mark.parametrize(
    ("number", "cause", "remedy"),
    [
        (errno.EADDRNOTAVAIL, "this machine has no such address", "`ip address` lists them"),
        (errno.EACCES, "this user may not use the port", "Use a port from 1024 up, or grant CAP_NET_BIND_SERVICE"),
    ],
)
def test_other_refusals_of_the_system(number: int, cause: str, remedy: str):
    error = _bind_error("192.0.2.1:80", 80, OSError(number, os.strerror(number)))
    assert str(error) == f"cannot listen on 192.0.2.1:80: {cause}. {remedy}"


def test_a_child_process_serves_the_socket_it_inherits():
    child = (
        "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.setblocking(True); s.accept()[0].send(b'hi')"
    )
    with listen_tcp("127.0.0.1:0") as listener:
        fd = listener.fileno()
        with (
            subprocess.Popen([sys.executable, "-c", child, str(fd)], pass_fds=[fd]) as process,
            socket.create_connection(listener.getsockname(), timeout=20) as client,
        ):
            assert client.recv(10) == b"hi"
            assert process.wait(20) == 0


def test_unix_sockets_are_for_their_owner_and_replace_what_a_crash_left(tmp_path: Path):
    path = tmp_path / "hub.sock"
    listen_unix(path).close()
    assert path.exists()
    with listen_unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_unix_socket_that_answers_is_not_taken_over(tmp_path: Path):
    path = tmp_path / "hub.sock"
    with listen_unix(path), pytest.raises(StartupError, match="another process answers there"):
        listen_unix(path)


def test_a_path_too_long_for_a_unix_socket_is_refused(tmp_path: Path):
    with pytest.raises(StartupError, match="longer than 107 bytes"):
        listen_unix(tmp_path / ("x" * 120))


def test_a_missing_directory_is_refused(tmp_path: Path):
    with pytest.raises(StartupError, match="No such file or directory"):
        listen_unix(tmp_path / "missing" / "hub.sock")
