"""The commands that steer links, against the real control of a link that leads nowhere."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import uvloop

from littoral.cli.main import run
from littoral.cli.tree_file import TREE_FILE
from littoral.core.limits import Limits
from littoral.drivers.clock import SystemClock
from littoral.drivers.http_server import HttpServer
from littoral.drivers.link import WanLink
from littoral.drivers.listeners import listen_tcp
from littoral.node.link_control import LinkControl
from littoral.node.local_tree import NodeEntry, TreeFile


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    ready, stop = threading.Event(), threading.Event()

    async def serve(fd: int) -> None:
        link = WanLink("plant-a", [], SystemClock(), Limits(), lambda error: None)
        server = HttpServer(LinkControl({"plant-a": link}, "t").handle, fd, Limits())
        await server.start()
        ready.set()
        await asyncio.to_thread(stop.wait)
        await server.stop(grace_s=1.0)

    with listen_tcp("127.0.0.1:0") as listener:
        thread = threading.Thread(target=lambda: uvloop.run(serve(listener.fileno())))
        thread.start()
        assert ready.wait(20)
        links = {"url": f"http://127.0.0.1:{listener.getsockname()[1]}", "token": "t"}
        nodes = {"cloud": NodeEntry("cloud", None, "d", "http://a", "http://g", None)}
        written = TreeFile(nodes, links, None, {"username": "device", "password": "p"}, 1)
        (tmp_path / TREE_FILE).write_bytes(msgspec.json.encode(written))
        yield tmp_path
        stop.set()
        thread.join()


def test_a_link_is_cut_slowed_and_restored(tree: Path, monkeypatch, capsys):
    monkeypatch.setenv("LITTORAL_TREE", str(tree))
    assert run(["wan", "cut", "plant-a"]) == 0
    assert run(["wan", "delay", "plant-a", "75"]) == 0
    assert run(["wan", "list", "--json"]) == 0
    (link,) = msgspec.json.decode(capsys.readouterr().out)
    assert (link["name"], link["state"], link["delay_ms"]) == ("plant-a", "cut", 75)
    assert run(["wan", "restore", "plant-a"]) == 0
    assert run(["wan", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["plant-a", "up", "75", "ms"]


def test_an_unknown_link_is_answered_with_those_there_are(tree: Path, capsys):
    assert run(["wan", "cut", "plant-x", "--tree", str(tree)]) == 1
    assert capsys.readouterr().err == "error: cannot find link plant-x: there is no such link\nThere are: plant-a\n"
