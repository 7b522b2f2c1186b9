"""An app says who may connect; here it is a function of the test's own process."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec import msgpack

from littoral.core.errors import Unavailable
from littoral.core.limits import Limits
from littoral.core.resources.mqtt import Mqtt, MqttPermission, MqttUser
from littoral.core.resources.mqtt_authenticator import MqttAuthenticator
from littoral.functions.calls.function_request import FunctionRequest
from littoral.functions.event_messages import Returned, Rpc
from littoral.functions.messages import Answer
from littoral.iot.access import Arrival, Challenge, Client, Proved, Refused, Rights, Verdict
from littoral.node.mqtt_access import MqttAccess
from littoral.node.mqtt_authenticator import AppAuthenticator
from littoral.testing.random import SeededRandom
from littoral.wire.mqtt import ReasonCode
from littoral.workers.rpc_values import dump_values, load_values
from tests.support.fakes import FakeClock
from tests.support.logins import cheap_hash

USERS = [MqttUser(username="oven", password_hash=cheap_hash("right"))]
WRONG = Refused("its credentials cannot be checked now", ReasonCode.SERVER_UNAVAILABLE)


class Site:
    """A node's access with an app of its own."""

    def __init__(
        self, app: Callable[..., Any] | None, *, mqtt: dict[str, Any] | None = None, limits: Any = None, **config: Any
    ) -> None:
        self.clock, self.random = FakeClock(), SeededRandom(1)
        self.limits = Limits(limits)
        self.warnings: list[str] = []
        self.calls: list[tuple[str, list[Any]]] = []
        self._app = app
        said = MqttAuthenticator(app="doors", **config)
        self.authenticator = AppAuthenticator(said, self.clock, self.random, self.limits, self.warnings.append)
        self.authenticator.call = self._call
        self.access = MqttAccess(
            Mqtt(authenticator=said, **(mqtt or {})),
            self.random,
            self.clock,
            self.warnings.append,
            self.authenticator,
        )

    async def _call(self, app: str, request: FunctionRequest) -> Answer:
        assert app == "doors"
        assert isinstance(request.body, bytes)
        rpc = msgpack.decode(request.body, type=Rpc)
        arguments, _ = load_values(rpc.arguments)
        self.calls.append((rpc.method, arguments))
        if self._app is None:
            raise Unavailable("call app", app, "it is not running at this node")
        try:
            result = self._app(*arguments)
            if isinstance(result, Awaitable):
                result = await result
            returned = Returned(value=dump_values(result))
        except Exception as error:  # noqa: BLE001 - as a worker does it
            returned = Returned(type(error).__name__, str(error))
        return Answer(1, body=msgpack.encode(returned))

    async def connect(self, username: str | None, password: bytes | None = b"p", **more: Any) -> Verdict:
        answer = self.access.may_connect(Client("c", username, **more), password)
        return await answer if isinstance(answer, Awaitable) else answer


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await story()

    asyncio.run(main())


def test_it_is_asked_of_whom_nothing_else_knows():
    async def story() -> None:
        site = Site(lambda login: login["password"] == b"p", mqtt={"users": USERS})
        assert await site.connect("oven", b"right") is True
        assert await site.connect("oven", b"p") is False, "who is in a list is not for the app to let in"
        assert await site.connect("press", certified="press") is True
        assert site.calls == []
        assert await site.connect("press") == Proved()
        assert await site.connect("press", b"q") == Refused("app doors does not let it in")
        assert await site.connect(None) == Proved(), "nobody else says who that is"

    run(story)


def test_it_is_told_who_comes_and_how():
    async def story() -> None:
        site = Site(lambda _: True)
        arrival = Arrival("10.0.0.7", "0.0.0.0:8883", "CN=press")
        await site.connect("press", b"\xff", arrival=arrival)
        [(method, [login])] = site.calls
        assert method == "authenticate"
        assert login == {
            "client_id": "c",
            "username": "press",
            "password": b"\xff",
            "address": "10.0.0.7",
            "listener": "0.0.0.0:8883",
            "certificate": "CN=press",
            "version": "3.1.1",
        }

    run(story)


def test_it_may_have_the_last_word_on_everybody_but_those_who_were_refused():
    async def story() -> None:
        site = Site(lambda login: login["username"] == "oven", mqtt={"users": USERS}, asked="everybody")
        assert await site.connect("oven", b"right") == Proved()
        assert await site.connect("oven", b"wrong") is False
        assert isinstance(await site.connect("press", certified="press"), Refused)
        assert len(site.calls) == 2

    run(story)


def test_what_it_allows_is_allowed_as_far_as_the_document_allows_it():
    async def story() -> None:
        said = {"allow": True, "username": "press", "publish": ["press/#"], "subscribe": [], "expires_in": 60}
        site = Site(lambda _: said, mqtt={"access": [MqttPermission(topics=["%u/#"])]})
        rights = Rights(("press/#",), ())
        assert await site.connect("x") == Proved(None, "press", rights, site.clock.monotonic_s() + 60)
        client = Client("c", "press", rights=rights)
        assert site.access.restricts(client)
        assert site.access.may_publish(client, "press/a")
        assert not site.access.may_publish(client, "oven/a")
        assert site.access.may_subscribe(client, "press/#") is False
        narrow = Client("c", "press", rights=Rights(("press/a",), None))
        assert not site.access.may_publish(narrow, "press/b"), "the app says no"
        wider = Client("c", "press", rights=Rights(("#",), None))
        assert not site.access.may_publish(wider, "oven/a"), "the document says no"
        assert site.access.may_subscribe(wider, "press/+") is True

    run(story)


@pytest.mark.parametrize(
    "said",
    [
        None,
        1,
        "yes",
        {"allow": 1},
        {"allow": True, "admin": True},
        {"allow": True, "publish": ["a/#/b"]},
        {"allow": True, "publish": "a"},
        {"allow": True, "username": ""},
        {"allow": True, "expires_in": 0},
        {"allow": True, "expires_in": float("nan")},
        {"allow": True, "publish": ["a"] * 300},
        {"allow": True, "publish": ["a" * 100_000]},
        {"challenge": b"more"},
        object(),
    ],
    ids=lambda said: re.sub(r" object at .*", "", repr(said))[:60],
)
def test_what_is_no_answer_lets_nobody_in_and_says_why(said: object):
    async def story() -> None:
        site = Site(lambda _: said)
        assert await site.connect("press", b"secret") == WRONG
        [warning] = site.warnings
        assert "app doors, which is asked who may connect, failed: " in warning
        assert "secret" not in warning

    run(story)


def test_an_app_that_raises_hangs_or_is_not_there_lets_nobody_in_and_no_password_is_logged():
    async def story() -> None:
        def raises(login: dict[str, Any]) -> bool:
            raise ValueError(f"what is {login['password']!r}?")

        async def hangs(_: dict[str, Any]) -> bool:
            await asyncio.get_running_loop().create_future()
            return True

        short = {"mqtt-login-ms": 20}
        for app, why in ((raises, "raised 'ValueError'"), (hangs, "did not answer within 20"), (None, "within 20 ms")):
            site = Site(app, limits=None if app is raises else short)
            assert await site.connect("press", b"secret") == WRONG
            assert why in site.warnings[0]
            assert "secret" not in site.warnings[0]

    run(story)


def test_an_app_that_is_not_there_yet_is_waited_for():
    async def story() -> None:
        site = Site(lambda _: True)
        call, site.authenticator.call = site.authenticator.call, None
        answer = asyncio.ensure_future(site.connect("press"))
        await asyncio.sleep(0)
        site.authenticator.call = call
        assert await answer == Proved()

    run(story)


def test_no_more_calls_are_under_way_than_may_be():
    async def story() -> None:
        free = asyncio.Event()
        most = now = 0

        async def app(_: object) -> bool:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await free.wait()
            now -= 1
            return True

        site = Site(app, limits={"mqtt-login-calls": 3})
        answers = [asyncio.ensure_future(site.connect("press")) for _ in range(9)]
        while now < 3:
            await asyncio.sleep(0)
        free.set()
        assert await asyncio.gather(*answers) == [Proved()] * 9
        assert most == 3
        assert site.limits.reached["mqtt-login-calls"] == 6

    run(story)


def test_an_answer_is_remembered_for_as_long_as_the_document_says_and_for_the_same_question_only():
    async def story() -> None:
        site = Site(lambda login: login["password"] == b"p", ttl="60s")
        assert await site.connect("press") == Proved()
        assert await site.connect("press") == Proved()
        assert len(site.calls) == 1
        assert isinstance(await site.connect("press", b"q"), Refused)
        assert await site.connect("press", arrival=Arrival("10.0.0.9")) == Proved()
        assert len(site.calls) == 3
        site.clock.advance(seconds=61)
        assert await site.connect("press") == Proved()
        assert len(site.calls) == 4
        each_time = Site(lambda _: True)
        await each_time.connect("press")
        await each_time.connect("press")
        assert len(each_time.calls) == 2

    run(story)


def test_neither_failures_nor_what_has_expired_are_remembered_and_answers_are_bounded():
    async def story() -> None:
        answers: list[Any] = [None, {"allow": True, "expires_in": 5}, False, *[True] * 4]
        site = Site(lambda _: answers.pop(0), ttl="60s", limits={"mqtt-login-cache": 1})
        assert await site.connect("press") == WRONG
        assert isinstance(await site.connect("press"), Proved)
        site.clock.advance(seconds=6)
        assert isinstance(await site.connect("press"), Refused)
        assert await site.connect("oven") == Proved()
        assert await site.connect("press") == Proved(), "it was forgotten for the other"

    run(story)


def test_step_by_step():
    async def story() -> None:
        def app(login: dict[str, Any], step: dict[str, Any]) -> dict[str, Any]:
            assert (login["username"], step["method"]) == ("press", "SUM")
            if step["state"] is None:
                return {"challenge": b"2+2", "state": [4]}
            return {"allow": step["data"] == b"%d" % step["state"][0], "data": b"right"}

        site = Site(app, methods=["SUM"])
        client = Client("c", "press")
        assert site.access.exchange(client, "OTHER") is None
        assert site.access.exchange(Client("c", "press", certified="oven"), "SUM") is None, (
            "its certificate says another"
        )
        for said, last in ((b"4", Proved(b"right")), (b"5", Refused("app doors does not let it in"))):
            exchange = site.access.exchange(client, "SUM")
            assert exchange is not None
            first = exchange.step(None)
            assert isinstance(first, Awaitable)
            assert await first == Challenge(b"2+2")
            second = exchange.step(said)
            assert isinstance(second, Awaitable)
            assert await second == last

    run(story)


def test_steps_are_bounded():
    async def story() -> None:
        site = Site(lambda *_: {"challenge": b"and?"}, methods=["M"], limits={"mqtt-login-steps": 2})
        exchange = site.authenticator.exchange(Client("c"), "M")
        assert exchange is not None
        steps = [await exchange.step(None) for _ in range(3)]  # type: ignore[misc]
        assert steps == [Challenge(b"and?")] * 2 + [Refused("its authentication has too many steps")]

    run(story)
