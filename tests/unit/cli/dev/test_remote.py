"""Calls of a developer's node that another one answers: over real sockets, to a real hub."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from littoral.cli.dev import remote as remote_module
from littoral.cli.dev.remote import RemoteDesk, RemoteNode
from littoral.cli.targets import Target, node_at
from littoral.core.errors import NotFound, PeerUnreachable, Unauthenticated, Unavailable
from littoral.core.limits import Limits
from littoral.core.resources import Namespace
from littoral.core.resources.part import Metadata
from littoral.drivers.transport import HttpTransport
from littoral.fleet.desired import record_of
from littoral.functions.messages import BindingCall
from littoral.node.binding_messages import CREDENTIAL_FILE, SOCKET
from littoral.node.operator_client import OperatorClient
from littoral.node.remote_bindings import RemoteBindings, remote_bindings
from littoral.projects.remote import Bound
from littoral.wire.frames import frame
from tests.support.operator_hub import serving_root

THINGS = ("kv", "things")


class World:
    """A developer's node, reduced to what asks; the command; and the other node."""

    def __init__(self, run_dir: Path, desk: RemoteDesk, asking: RemoteBindings) -> None:
        self.run_dir = run_dir
        self.desk = desk
        self._asking = asking
        self.here: list[str] = []

    async def ask(self, operation: str, arguments: list[Any], namespace: str = "things") -> Any:
        async def local(app: str, call: BindingCall) -> Any:
            self.here.append(f"{app} {call.operation} {call.namespace}")

        handler = self._asking.over({"kv": local})["kv"]
        return await handler("shop", BindingCall(1, operation, namespace, arguments))


@asynccontextmanager
async def world(target: Target) -> AsyncIterator[World]:
    faults: list[BaseException] = []
    transport = HttpTransport()
    with tempfile.TemporaryDirectory(prefix="lit") as folder:
        run_dir = Path(folder)
        node = RemoteNode(transport, target)
        await node.open()
        desk = RemoteDesk(node, faults.append)
        desk.allowed.add(THINGS)
        services: Any = SimpleNamespace()
        async with desk.serving(run_dir):
            asking = remote_bindings(run_dir, lambda app: {THINGS, ("kv", "other")}, services, Limits())
            assert asking is not None
            try:
                yield World(run_dir, desk, asking)
            finally:
                asking.close()
        assert not (run_dir / CREDENTIAL_FILE).exists()
    await transport.aclose()
    assert not faults


async def with_namespace(target: Target) -> None:
    transport = HttpTransport()
    client = OperatorClient(transport, target.url, target.token)
    await client.apply([record_of(Namespace(api_version="littoral/v1", metadata=Metadata(name="things")), None)])
    async with asyncio.timeout(30):
        while (await client.call("GET", "/v1/status")).status != 200 or not await has_it(client):
            await asyncio.sleep(0)
    await transport.aclose()


async def has_it(client: OperatorClient) -> bool:
    try:
        await client.call("GET", "/v1/kv/things")
    except NotFound:
        return False
    return True


def run(data_dir: Path, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main(target: Target) -> None:
        await with_namespace(target)
        async with world(target) as here:
            await scenario(here)

    with serving_root(data_dir):
        asyncio.run(main(node_at(data_dir)))


def test_a_remote_namespace_is_read_and_written_there_and_the_others_are_not(tmp_path: Path):
    async def scenario(here: World) -> None:
        assert await here.ask("put", ["a", b"\xff1", None, None, '{"x":1}']) is None
        assert await here.ask("get", ["a", None]) == [b"\xff1", 0, '{"x":1}']
        assert await here.ask("get", ["b", None]) is None
        assert (await here.ask("list", ["", None, 10]))[:2] == [["a"], None]
        assert here.here == []
        await here.ask("get", ["a", None], "elsewhere")
        assert here.here == ["shop get elsewhere"]

    run(tmp_path, scenario)


def test_what_the_other_node_says_is_told_as_it_says_it(tmp_path: Path):
    async def scenario(here: World) -> None:
        with pytest.raises(Unavailable, match="put key a.*it would expire in"):
            await here.ask("put", ["a", b"1", None, 1, ""])
        here.desk.allowed.add(("kv", "other"))
        with pytest.raises(Unavailable, match="other"):
            await here.ask("get", ["a", None], "other")

    run(tmp_path, scenario)


def test_only_what_the_project_has_as_remote_may_be_asked_for(tmp_path: Path):
    async def scenario(here: World) -> None:
        with pytest.raises(Unavailable, match="the project has no such remote binding"):
            await here.ask("get", ["a", None], "other")

    run(tmp_path, scenario)


async def said_to(socket: Path, credential: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(frame(msgspec.msgpack.encode(credential)))
    async with asyncio.timeout(20):
        said = await reader.read(100)
    writer.close()
    await writer.wait_closed()
    return said


def test_who_has_not_the_credential_is_not_answered(tmp_path: Path):
    async def scenario(here: World) -> None:
        right = (here.run_dir / CREDENTIAL_FILE).read_text()
        wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
        assert await said_to(here.run_dir / SOCKET, right) != b""
        assert await said_to(here.run_dir / SOCKET, wrong) == b""
        assert (here.run_dir / CREDENTIAL_FILE).stat().st_mode & 0o077 == 0

    run(tmp_path, scenario)


def test_an_answer_that_is_too_long_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote_module, "ANSWER_MOST_BYTES", 100)

    async def scenario(here: World) -> None:
        await here.ask("put", ["a", b"1" * 100, None, None, ""])
        with pytest.raises(Unavailable, match="at most 100 are passed on"):
            await here.ask("get", ["a", None])

    run(tmp_path, scenario)


def test_what_the_other_node_has_is_found(tmp_path: Path):
    async def scenario(here: World) -> None:
        await here.desk.node.find("shop", Bound("KV", "kv", "things", True, ()))
        with pytest.raises(NotFound):
            await here.desk.node.find("shop", Bound("KV", "kv", "lost", True, ()))
        with pytest.raises(NotFound, match="no bindings of kind 'queue'"):
            await here.desk.node.find("shop", Bound("JOBS", "queue", "jobs", True, ()))

    run(tmp_path, scenario)


def test_a_node_that_is_gone_is_named_by_the_error_and_comes_back(tmp_path: Path):
    address = ""

    async def lost(target: Target) -> None:
        async with world(target) as here:
            ended.close()
            with pytest.raises(Unavailable) as error:
                await here.ask("get", ["a", None])
            text = f"it is a remote binding, and node cloud at {target.url} does not answer: connection refused"
            assert error.value.cause == text
            with serving_root(tmp_path, address=address):
                assert (await here.ask("get", ["a", None]))[0] == b"1"

    async def put(target: Target) -> None:
        await with_namespace(target)
        async with world(target) as here:
            await here.ask("put", ["a", b"1", None, None, ""])

    with ExitStack() as ended:
        url = ended.enter_context(serving_root(tmp_path))
        address = url.removeprefix("http://")
        target = node_at(tmp_path)
        asyncio.run(put(target))
        asyncio.run(lost(target))


def test_a_token_that_is_not_the_nodes_and_a_node_that_is_not_there_are_told_at_the_start(tmp_path: Path):
    async def opened(target: Target) -> None:
        transport = HttpTransport()
        try:
            await RemoteNode(transport, target).open()
        finally:
            await transport.aclose()

    with serving_root(tmp_path) as url, pytest.raises(Unauthenticated):
        asyncio.run(opened(Target(url, "wrong")))
    with pytest.raises(PeerUnreachable):
        asyncio.run(opened(Target(url, "wrong")))
