import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from littoral.core.errors import TooLarge
from littoral.core.kv import KvEntry
from littoral.core.limits import Limits
from littoral.drivers.clock import SystemClock
from littoral.functions.hub import bindings as bindings_module
from littoral.functions.hub.bindings import CONNECTIONS_PER_SLOT, BindingServer, Credentials, binding_frame_bytes
from littoral.functions.hub.kv_bindings import KvBindings
from littoral.functions.messages import BindingAnswer, BindingCall
from littoral.functions.worker.binding_client import BindingClient, Caller
from littoral.wire.frames import FrameReader, frame
from littoral.workers import KVError
from tests.support.functions_node import MemoryKeyValue
from tests.support.left_behind import left_behind

KEY = b"k" * 32


class Refusing(MemoryKeyValue):
    async def put(self, namespace: str, key: str, value: bytes, *, expires_s: int = 0, metadata: str = "") -> KvEntry:
        raise TooLarge("put key", key, "the value is too large", "Store less")


@asynccontextmanager
async def bindings(
    kv: MemoryKeyValue, limits: Limits | None = None, credential: str | None = None
) -> AsyncIterator[Caller]:
    limits = limits or Limits()
    faults: list[BaseException] = []
    with tempfile.TemporaryDirectory(prefix="lit") as directory:
        path = Path(directory, "b.sock")
        handlers = {"kv": KvBindings(kv, lambda app: {"lines"}, SystemClock(), limits)}
        server = BindingServer(path, handlers, Credentials(KEY), limits, faults.append)
        await server.start()
        shown = credential or Credentials(KEY).issue("shop", 0)
        client = BindingClient(str(path), shown, 5.0, binding_frame_bytes(limits))
        try:
            yield client.caller("kv", "namespace", KVError, too_long="Split it")
        finally:
            client.close()
            await server.stop()
    assert not faults


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    asyncio.run(main())


def test_a_credential_proves_one_app_only() -> None:
    credentials = Credentials(KEY)
    shown = credentials.issue("shop", 3)
    assert credentials.app(shown) == "shop"
    assert credentials.app(shown.replace("shop", "bank")) is None
    assert credentials.app(shown.replace(" 3 ", " 4 ")) is None
    assert Credentials(b"x" * 32).app(shown) is None
    for nonsense in ("", "shop", "shop 0", "shop x y", "shop 0 é"):
        assert credentials.app(nonsense) is None


def test_calls_are_answered() -> None:
    async def scenario() -> None:
        async with bindings(MemoryKeyValue()) as ask:
            await asyncio.gather(*(ask("put", "lines", [f"k{n}", b"v%d" % n, None, None, ""]) for n in range(50)))
            assert await ask("get", "lines", ["k7", None]) == [b"v7", 0, ""]
            assert await ask("delete", "lines", ["k7"]) is None
            assert await ask("get", "lines", ["k7", None]) is None
            assert await ask("list", "lines", ["k1", None, 2]) == [["k1", "k10"], "k10", {}]

    run(scenario)


def test_errors_reach_the_function_as_sentences() -> None:
    async def scenario() -> None:
        async with bindings(Refusing()) as ask:
            with pytest.raises(KVError, match="cannot put key k: the value is too large. Store less"):
                await ask("put", "lines", ["k", b"v", None, None, ""])
            with pytest.raises(KVError, match="app shop has no binding for it. Add it under spec.kv"):
                await ask("get", "other", ["k", None])
            with pytest.raises(KVError, match="does not take these arguments"):
                await ask("get", "lines", [5])
            with pytest.raises(KVError, match="limit 0 is below 1"):
                await ask("list", "lines", ["", None, 0])

    run(scenario)


def test_a_kind_that_the_node_does_not_have_is_refused() -> None:
    async def scenario() -> None:
        async with bindings(MemoryKeyValue()) as ask:
            with pytest.raises(KVError, match="no bindings of kind 'moon'"):
                await replace(ask, kind="moon")("get", "lines", ["k", None])

    run(scenario)


class Held(MemoryKeyValue):
    """Answers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.times = 0

    async def get(self, namespace: str, key: str) -> bytes | None:
        self.times += 1
        self.asked.set()
        if self.times == 1:
            await asyncio.get_running_loop().create_future()
        return b"at last"


@pytest.mark.parametrize("repeatable", [True, False])
def test_what_may_not_be_done_twice_is_not_asked_again_when_the_hub_restarts(repeatable: bool) -> None:
    async def scenario() -> None:
        limits, kv = Limits(), Held()
        faults: list[BaseException] = []
        with tempfile.TemporaryDirectory(prefix="lit") as directory:
            path = Path(directory, "b.sock")
            handlers = {"kv": KvBindings(kv, lambda app: {"lines"}, SystemClock(), limits)}
            servers = [BindingServer(path, handlers, Credentials(KEY), limits, faults.append) for _ in range(2)]
            await servers[0].start()
            client = BindingClient(str(path), Credentials(KEY).issue("shop", 0), 5.0, binding_frame_bytes(limits))
            caller = client.caller("kv", "namespace", KVError, repeatable=repeatable)
            under_way = asyncio.ensure_future(caller("get", "lines", ["k", None]))
            await kv.asked.wait()
            await servers[0].stop()
            await servers[1].start()
            if repeatable:
                assert await under_way == [b"at last", 0, ""]
            else:
                with pytest.raises(KVError, match="cannot get in namespace lines: .* may have done it or not"):
                    await under_way
                assert kv.times == 1
            client.close()
            await servers[1].stop()
        assert not faults

    run(scenario)


def test_a_hub_that_is_being_ended_and_still_lets_in_was_asked_nothing() -> None:
    async def scenario() -> None:
        limits, kv = Limits(), MemoryKeyValue()
        faults: list[BaseException] = []
        with tempfile.TemporaryDirectory(prefix="lit") as directory:
            path = Path(directory, "b.sock")
            client = BindingClient(str(path), Credentials(KEY).issue("shop", 0), 5.0, binding_frame_bytes(limits))
            caller = client.caller("kv", "namespace", KVError, repeatable=False)
            with left_behind(path) as ended:
                asked = asyncio.ensure_future(caller("get", "lines", ["k", None]))
                await ended()
            handlers = {"kv": KvBindings(kv, lambda app: {"lines"}, SystemClock(), limits)}
            server = BindingServer(path, handlers, Credentials(KEY), limits, faults.append)
            await server.start()
            assert await asked is None
            client.close()
            await server.stop()
        assert not faults

    run(scenario)


def test_a_worker_may_not_queue_without_end() -> None:
    async def scenario() -> None:
        limits = Limits({"binding-inflight": 2})
        async with bindings(MemoryKeyValue(), limits) as ask:
            calls = (ask("get", "lines", ["k", None]) for _ in range(20))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            refused = [answer for answer in answers if answer is not None]
            assert len(refused) == 18
            assert "too many calls of this worker" in str(refused[0])
            assert limits.reached["binding-inflight"] == 18

    run(scenario)


def test_what_does_not_fit_into_a_frame_is_refused_where_it_is_written() -> None:
    async def scenario() -> None:
        limits = Limits()
        async with bindings(MemoryKeyValue(), limits) as ask:
            with pytest.raises(KVError, match="fit. Split it"):
                await ask("put", "lines", ["k", bytes(binding_frame_bytes(limits)), None, None, ""])

    run(scenario)


def test_without_the_credential_nothing_is_answered() -> None:
    async def scenario() -> None:
        async with bindings(MemoryKeyValue(), credential="shop 0 00") as ask:
            call = asyncio.ensure_future(ask("get", "lines", ["k", None]))
            done, _ = await asyncio.wait([call], timeout=0.1)
            assert not done
            call.cancel()

    run(scenario)


class Counting(MemoryKeyValue):
    """Each of its values is large."""

    reads = 0

    async def get(self, namespace: str, key: str) -> bytes | None:
        self.reads += 1
        return bytes(1 << 19)


class Stranger:
    """Whoever opens a connection to the hub, and keeps to nothing."""

    def __init__(self, path: Path) -> None:
        self.line = socket.socket(socket.AF_UNIX)
        self.line.setblocking(False)
        self.line.connect(str(path))

    async def say(self, *bodies: object) -> None:
        data = b"".join(frame(msgspec.msgpack.encode(body)) for body in bodies)
        await asyncio.get_running_loop().sock_sendall(self.line, data)

    async def hear(self) -> bytes:
        """What comes next; empty where the hub has closed."""
        try:
            async with asyncio.timeout(5):
                return await asyncio.get_running_loop().sock_recv(self.line, 1 << 20)
        except ConnectionError:
            return b""


@asynccontextmanager
async def hub(kv: MemoryKeyValue) -> AsyncIterator[Callable[[], Stranger]]:
    faults: list[BaseException] = []
    strangers: list[Stranger] = []

    def connect() -> Stranger:
        strangers.append(Stranger(path))
        return strangers[-1]

    with tempfile.TemporaryDirectory(prefix="lit") as directory:
        path, limits = Path(directory, "b.sock"), Limits()
        handlers = {"kv": KvBindings(kv, lambda app: {"lines"}, SystemClock(), limits)}
        server = BindingServer(path, handlers, Credentials(KEY), limits, faults.append)
        await server.start()
        yield connect
        await server.stop()
        for stranger in strangers:
            stranger.line.close()
    assert not faults


async def settle() -> None:
    for _ in range(2000):
        await asyncio.sleep(0)


def test_a_worker_that_does_not_read_has_few_answers_made_for_it_and_gets_all_once_it_reads() -> None:
    async def scenario() -> None:
        kv = Counting()
        async with hub(kv) as connect:
            worker = connect()
            calls = [BindingCall(n, "get", "lines", ["k", None]) for n in range(1, 201)]
            await worker.say(Credentials(KEY).issue("shop", 0), *calls)
            await settle()
            assert 0 < kv.reads < 40, "each is half a megabyte in the hub until it is read"
            reader, answered = FrameReader(1 << 20), set[int]()
            # The first says that the worker is admitted.
            while len(answered) < 201:
                bodies = reader.feed(await worker.hear())
                answered |= {msgspec.msgpack.decode(body, type=BindingAnswer).id for body in bodies}
            assert answered == set(range(201))

    run(scenario)


def test_what_a_worker_says_is_not_read_while_its_calls_under_way_hold_much() -> None:
    class Never(MemoryKeyValue):
        puts = 0

        async def put(
            self, namespace: str, key: str, value: bytes, *, expires_s: int = 0, metadata: str = ""
        ) -> KvEntry:
            self.puts += 1
            return await asyncio.get_running_loop().create_future()

    async def scenario() -> None:
        kv = Never()
        async with hub(kv) as connect:
            worker = connect()
            await worker.say(Credentials(KEY).issue("shop", 0))
            calls = [BindingCall(n, "put", "lines", ["k", bytes(1 << 20), None, None, ""]) for n in range(1, 65)]
            saying = asyncio.ensure_future(worker.say(*calls))
            await settle()
            assert 0 < kv.puts < 20
            assert not saying.done(), "the rest is held where it was written"
            saying.cancel()

    run(scenario)


def test_nobody_makes_the_hub_hold_much_without_saying_who_it_is() -> None:
    async def scenario() -> None:
        async with hub(MemoryKeyValue()) as connect:
            stranger = connect()
            await asyncio.get_running_loop().sock_sendall(stranger.line, (1 << 20).to_bytes(4, "big") + bytes(2000))
            assert await stranger.hear() == b"", "it is cut off at once"

    run(scenario)


def test_a_connection_on_which_nobody_says_who_it_is_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(bindings_module, "CREDENTIAL_S", 0.01)
        async with hub(MemoryKeyValue()) as connect:
            stranger, worker = connect(), connect()
            await worker.say(Credentials(KEY).issue("shop", 0))
            assert await stranger.hear() == b""
            await worker.say(BindingCall(1, "get", "lines", ["k", None]))
            assert await worker.hear(), "who has said it goes on"

    run(scenario)


def test_a_worker_has_so_many_connections_and_another_has_its_own() -> None:
    async def scenario() -> None:
        async with hub(MemoryKeyValue()) as connect:
            workers = [connect() for _ in range(CONNECTIONS_PER_SLOT + 1)]
            for worker in workers:
                await worker.say(Credentials(KEY).issue("shop", 0))
                await settle()
            assert await workers[-1].hear() == b""
            other = connect()
            await other.say(Credentials(KEY).issue("shop", 1), BindingCall(1, "get", "lines", ["k", None]))
            assert await other.hear()
            workers[0].line.close()
            await settle()
            again = connect()
            await again.say(Credentials(KEY).issue("shop", 0), BindingCall(1, "get", "lines", ["k", None]))
            assert await again.hear(), "the place of one that is gone is free"

    run(scenario)
