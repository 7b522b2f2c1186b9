"""`ctx.exports`: entry points of the module that uses it."""

import asyncio
from types import ModuleType
from typing import Any

import pytest

from littoral.functions.worker.loader import find_app
from littoral.workers import Context, NotSupported, ReadableStream, Request, Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request: Request) -> Response:
        told = await self.ctx.exports.Prices(props={"by": request.path}).quote(["tea"], amount=2)
        return Response.json(told)


class Prices(WorkerEntrypoint):
    def quote(self, goods: list[str], amount: int) -> Any:
        goods.append("changed")
        return {"goods": goods, "amount": amount, "props": self.ctx.props, "itself": id(self)}

    async def read(self, body: ReadableStream) -> ReadableStream:
        return ReadableStream(await body.whole() + b"!")

    async def again(self) -> Any:
        return await self.ctx.exports.Prices.quote([], amount=1)

    def fail(self) -> None:
        raise ValueError("no such goods")

    def _hidden(self) -> None: ...

    async def fetch(self, request: Request) -> Response:
        return Response(f"{request.method} {request.path}")


class NoEntry:
    pass


def context() -> Context:
    module = ModuleType("shop")
    for each in (Default, Prices, NoEntry):
        setattr(module, each.__name__, each)
    return Context(lambda work: None, find=find_app(module).exported)


def test_methods_and_requests_go_to_an_instance_of_their_own() -> None:
    async def scenario() -> None:
        exports, goods = context().exports, ["tea"]
        first = await exports.Prices.quote(goods, amount=2)
        assert (first["goods"], first["amount"], first["props"]) == (["tea", "changed"], 2, {})
        assert goods == ["tea"], "arguments are copied"
        told = await (await exports.default.fetch("https://shop.example/way")).json()
        assert told["props"] == {"by": "/way"}
        assert (await (await exports.Prices.fetch("https://a.example/b", method="PUT")).text()) == "PUT /b"
        read = await exports.Prices.read(ReadableStream(b"a stream"))
        assert await read.whole() == b"a stream!"
        assert (await exports.Prices.again())["amount"] == 1
        assert (await exports.Prices({"props": {"a": 1}}).quote([], amount=0))["props"] == {"a": 1}

    asyncio.run(scenario())


def test_what_is_raised_is_raised_and_what_is_not_there_is_said() -> None:
    async def scenario() -> None:
        exports = context().exports
        with pytest.raises(ValueError, match="no such goods"):
            await exports.Prices.fail()
        with pytest.raises(TypeError, match="apps pass None, bool"):
            await exports.Prices.quote([object()], amount=1)
        for name in ("NoEntry", "Nothing", "__wrapped__"):
            with pytest.raises(AttributeError, match="has no class"):
                getattr(exports, name)
        for name in ("_hidden", "env", "scheduled"):
            with pytest.raises(AttributeError, match="no method"):
                getattr(exports.Prices, name)

    asyncio.run(scenario())


def test_outside_of_a_worker_there_are_none() -> None:
    with pytest.raises(NotSupported, match=r"ctx\.exports"):
        _ = Context(lambda work: None).exports
