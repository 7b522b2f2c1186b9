"""What stands before a tree is started."""

import socket

import pytest

from littoral.cli.local import runtime
from littoral.core.errors import StartupError
from tests.support.ports import free_base_port


def test_a_port_in_use_is_named_with_its_holder_and_a_way_out():
    base = free_base_port(runtime.PORTS)
    runtime.check_ports(base)
    with socket.create_server(("127.0.0.1", base + runtime.PORTS - 1)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StartupError, match=rf"127\.0\.0\.1:{port}: the port is in use by .*--port 0 for any free"):
            runtime.check_ports(base)
    runtime.check_ports(base)


def test_a_tree_needs_a_port_for_its_links_and_one_for_each_listener():
    assert runtime.PORTS == 1 + 5 + 4 + 5 + 5 + 2, "of cloud and eu, a relay each, after all others"


def test_a_state_directory_holds_one_tree(tmp_path):
    with (
        runtime.locked(tmp_path / "t"),
        pytest.raises(StartupError, match="a tree is running there"),
        runtime.locked(tmp_path / "t"),
    ):
        pass
    with runtime.locked(tmp_path / "t"):
        pass


def test_a_state_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="Choose another with --state-dir"), runtime.locked(tmp_path / "file"):
        pass
