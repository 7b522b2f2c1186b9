import asyncio
import threading

import pytest

from littoral.core.errors import InvalidInput
from littoral.core.resources.mqtt import Mqtt, MqttUser
from littoral.node import mqtt_login
from littoral.node.mqtt_login import AT_ONCE, MqttLogin
from littoral.security.passwords import verify_password
from littoral.testing.random import SeededRandom
from tests.support.logins import cheap_hash

RANDOM = SeededRandom(1)
USERS = [MqttUser(username="press", password_hash=cheap_hash("right"))]


def attempts(config: Mqtt, *shown: tuple[str | None, bytes | None]) -> list[bool]:
    async def main() -> list[bool]:
        login = MqttLogin(config, RANDOM)
        answers = []
        for username, password in shown:
            answer = login(username, password)
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
        MqttLogin(Mqtt(users=[MqttUser(username="press", password_hash="scrypt$nonsense")]), RANDOM)


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
        login = MqttLogin(Mqtt(users=USERS), RANDOM)
        waiting = [login("press", b"right") for _ in range(1000)]
        assert all(await asyncio.gather(*[each for each in waiting if not isinstance(each, bool)]))
        assert login("press", b"right") is True

    asyncio.run(main())
    assert most <= AT_ONCE
    assert total <= AT_ONCE


def test_logins_of_a_file_come_and_go():
    more, other = cheap_hash("more"), cheap_hash("other")

    async def main() -> None:
        login = MqttLogin(Mqtt(users=USERS), RANDOM)

        async def enters(name: str, password: bytes) -> bool:
            answer = login(name, password)
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
