import asyncio
import threading

import pytest

from littoral.core.errors import InvalidInput
from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_LOGIN_WAITING
from littoral.core.resources.mqtt import Mqtt, MqttUser
from littoral.iot.access import Refused
from littoral.node import mqtt_login
from littoral.node.mqtt_login import BUSY, MqttLogin
from littoral.security.passwords import verify_password
from littoral.testing.random import SeededRandom
from tests.support.logins import cheap_hash

RANDOM = SeededRandom(1)
DEADLINE_S = 20
USERS = [MqttUser(username="press", password_hash=cheap_hash("right"))]


def attempts(config: Mqtt, *shown: tuple[str | None, bytes | None]) -> list[bool]:
    async def main() -> list[bool]:
        login = MqttLogin(config, RANDOM, Limits())
        answers = []
        for username, password in shown:
            answer = login(username, password)
            assert not isinstance(answer, Refused)
            answers.append(answer if isinstance(answer, bool) else await answer)
        return answers

    return asyncio.run(main())


def test_who_may_connect():
    config = Mqtt(users=USERS)
    shown = [
        ("press", b"right"),
        ("press", b"wrong"),
        ("press", b"right"),
        ("press", None),
        ("press", b"\xff"),
        ("nobody", b"right"),
        (None, None),
    ]
    assert attempts(config, *shown) == [True, False, True, False, False, False, False]


def test_nameless_clients_connect_where_that_is_allowed():
    assert attempts(Mqtt(anonymous=True, users=USERS), (None, None), ("press", b"wrong")) == [True, False]


def test_a_hash_that_is_none_stops_the_node_from_starting():
    with pytest.raises(InvalidInput):
        MqttLogin(Mqtt(users=[MqttUser(username="press", password_hash="scrypt$nonsense")]), RANDOM, Limits())


def test_a_thousand_devices_of_one_user_cost_a_few_hashes_and_few_at_a_time(monkeypatch: pytest.MonkeyPatch):
    lock = threading.Lock()
    running = most = total = 0
    verify = verify_password

    def counted(password: str, stored: str) -> bool:
        nonlocal running, most, total
        with lock:
            running, total = running + 1, total + 1
            most = max(most, running)
        try:
            return verify(password, stored)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(mqtt_login, "verify_password", counted)

    async def main() -> None:
        login = MqttLogin(Mqtt(users=USERS), RANDOM, Limits())
        waiting = [login("press", b"right") for _ in range(1000)]
        assert all(await asyncio.gather(*[each for each in waiting if not isinstance(each, bool | Refused)]))
        assert login("press", b"right") is True

    asyncio.run(main())
    assert most <= 2
    assert total <= 2


class Held:
    """Checks of passwords that last until they are let go; the texts that were checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.checked: list[tuple[str, str]] = []
        self.go_on = threading.Event()
        monkeypatch.setattr(mqtt_login, "verify_password", self._verify)

    def _verify(self, password: str, stored: str) -> bool:
        self.checked.append((password, stored))
        assert self.go_on.wait(DEADLINE_S)
        return verify_password(password, stored)

    async def begun(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.checked) < count:
                await asyncio.sleep(0.001)


def ask(login: MqttLogin, username: str, password: bytes) -> asyncio.Task[bool]:
    async def answer() -> bool:
        found = login(username, password)
        assert not isinstance(found, bool | Refused)
        return await found

    return asyncio.get_running_loop().create_task(answer())


def test_a_flood_of_logins_waits_up_to_a_limit_and_the_rest_is_told_to_come_later(monkeypatch: pytest.MonkeyPatch):
    held = Held(monkeypatch)

    async def main() -> None:
        limits = Limits({"mqtt-login-hashes": 1, "mqtt-login-waiting": 3})
        login = MqttLogin(Mqtt(users=USERS), RANDOM, limits)
        known = ask(login, "press", b"right")
        await held.begun(1)
        waiting = [ask(login, "press", b"%d" % number) for number in range(3)]
        await asyncio.sleep(0)
        assert login("press", b"one more") is BUSY
        assert limits.reached[MQTT_LOGIN_WAITING.name] == 1
        again = ask(login, "press", b"right")
        await asyncio.sleep(0)
        held.go_on.set()
        assert await asyncio.gather(known, again, *waiting) == [True, True, False, False, False]
        assert [text for text, _ in held.checked] == ["right", "0", "1", "2"], "the same one is checked once"

    asyncio.run(main())


def test_a_password_that_nobody_waits_for_any_more_is_not_checked(monkeypatch: pytest.MonkeyPatch):
    held = Held(monkeypatch)

    async def main() -> None:
        limits = Limits({"mqtt-login-hashes": 1})
        login = MqttLogin(Mqtt(users=USERS), RANDOM, limits)
        first, gone, left = ask(login, "press", b"1"), ask(login, "press", b"2"), ask(login, "press", b"3")
        other = ask(login, "press", b"3")
        await held.begun(1)
        for each in (first, gone, other):
            each.cancel()
        await asyncio.gather(first, gone, other, return_exceptions=True)
        held.go_on.set()
        assert await left is False, "though somebody else who showed the same has gone"
        assert [text for text, _ in held.checked] == ["1", "3"], "one that has begun goes on, and nobody else meanwhile"

    asyncio.run(main())


def test_of_a_user_there_is_none_of_the_same_kind_of_hash_is_checked(monkeypatch: pytest.MonkeyPatch):
    held = Held(monkeypatch)
    held.go_on.set()
    costs = {f"{name}": cheap_hash(name) for name in ("a", "b", "c")}

    async def main() -> None:
        login = MqttLogin(Mqtt(users=USERS), RANDOM, Limits())
        login.replace_more(costs)
        for number in range(40):
            assert not await ask(login, f"stranger {number}", b"right")
        stored = {each for _, each in held.checked}
        assert stored == {*costs.values(), USERS[0].password_hash}
        held.checked.clear()
        for password in (b"x", b"y"):
            assert not await ask(login, "stranger", password)
        assert held.checked[0][1] == held.checked[1][1], "always the same for a name"

    asyncio.run(main())


def test_logins_of_a_file_come_and_go():
    more, other = cheap_hash("more"), cheap_hash("other")

    async def main() -> None:
        login = MqttLogin(Mqtt(users=USERS), RANDOM, Limits())

        async def enters(name: str, password: bytes) -> bool:
            answer = login(name, password)
            assert not isinstance(answer, Refused)
            return answer if isinstance(answer, bool) else await answer

        login.replace_more({"oven": more, "press": other})
        assert await enters("oven", b"more")
        assert await enters("press", b"right"), "the document says who that is"
        assert not await enters("press", b"other")
        login.replace_more({"oven": other})
        assert not await enters("oven", b"more"), "though it was right before"
        login.replace_more({})
        assert not await enters("oven", b"other")

    asyncio.run(main())
