import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from littoral.core.errors import TooLarge
from littoral.core.kv import KvEntry
from littoral.core.limits import Limits
from littoral.functions.binding_client import BindingClient
from littoral.functions.bindings import BindingServer, Credentials, binding_frame_bytes
from littoral.workers import KVError
from tests.support.functions_node import MemoryKeyValue

KEY = b"k" * 32


class Refusing(MemoryKeyValue):
    async def put(self, namespace: str, key: str, value: bytes) -> KvEntry:
        raise TooLarge("put key", key, "the value is too large", "Store less")


@asynccontextmanager
async def bindings(
    kv: MemoryKeyValue, limits: Limits | None = None, credential: str | None = None
) -> AsyncIterator[BindingClient]:
    limits = limits or Limits()
    faults: list[BaseException] = []
    with tempfile.TemporaryDirectory(prefix="lit") as directory:
        path = Path(directory, "b.sock")
        server = BindingServer(path, kv, Credentials(KEY), lambda app: {"lines"}, limits, faults.append)
        await server.start()
        shown = credential or Credentials(KEY).issue("shop", 0)
        client = BindingClient(str(path), shown, 5.0, binding_frame_bytes(limits))
        try:
            yield client
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
        async with bindings(MemoryKeyValue()) as client:
            await asyncio.gather(*(client.call("put", "lines", [f"k{n}", b"v%d" % n]) for n in range(50)))
            assert await client.call("get", "lines", ["k7"]) == b"v7"
            assert await client.call("delete", "lines", ["k7"]) is None
            assert await client.call("get", "lines", ["k7"]) is None
            assert await client.call("list", "lines", ["k1", None, 2]) == [["k1", "k10"], "k10"]

    run(scenario)


def test_errors_reach_the_function_as_sentences() -> None:
    async def scenario() -> None:
        async with bindings(Refusing()) as client:
            with pytest.raises(KVError, match="cannot put key k: the value is too large. Store less"):
                await client.call("put", "lines", ["k", b"v"])
            with pytest.raises(KVError, match="app shop has no binding for it. Add it under spec.kv"):
                await client.call("get", "other", ["k"])
            with pytest.raises(KVError, match="does not take these arguments"):
                await client.call("get", "lines", [5])
            with pytest.raises(KVError, match="limit 0 is below 1"):
                await client.call("list", "lines", ["", None, 0])

    run(scenario)


def test_a_worker_may_not_queue_without_end() -> None:
    async def scenario() -> None:
        limits = Limits({"binding-inflight": 2})
        async with bindings(MemoryKeyValue(), limits) as client:
            calls = (client.call("get", "lines", ["k"]) for _ in range(20))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            refused = [answer for answer in answers if answer is not None]
            assert len(refused) == 18
            assert "too many calls of this worker" in str(refused[0])
            assert limits.reached["binding-inflight"] == 18

    run(scenario)


def test_what_does_not_fit_into_a_frame_is_refused_where_it_is_written() -> None:
    async def scenario() -> None:
        limits = Limits()
        async with bindings(MemoryKeyValue(), limits) as client:
            with pytest.raises(KVError, match="Store less under one key"):
                await client.call("put", "lines", ["k", bytes(binding_frame_bytes(limits))])

    run(scenario)


def test_without_the_credential_nothing_is_answered() -> None:
    async def scenario() -> None:
        async with bindings(MemoryKeyValue(), credential="shop 0 00") as client:
            call = asyncio.ensure_future(client.call("get", "lines", ["k"]))
            done, _ = await asyncio.wait([call], timeout=0.1)
            assert not done
            call.cancel()

    run(scenario)
