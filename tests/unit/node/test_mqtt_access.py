import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from littoral.core.errors import InvalidInput, StartupError
from littoral.core.resources.mqtt import Mqtt, MqttPermission, MqttTokens, MqttUser
from littoral.iot.access import Client, Proved
from littoral.node.mqtt_access import MqttAccess
from littoral.security.login_tokens import LEEWAY_S
from littoral.testing.random import SeededRandom
from tests.support.fakes import FakeClock
from tests.support.logins import cheap_hash

RANDOM = SeededRandom(1)
RIGHT, OTHER = cheap_hash("right"), cheap_hash("other")
CLOCK = FakeClock()


class Gate:
    """An access, and what it warned of."""

    def __init__(self, **config) -> None:
        self.warnings: list[str] = []
        self.access = MqttAccess(Mqtt(**config), RANDOM, CLOCK, self.warnings.append)

    async def enters(self, username, password, certified=None) -> bool:
        answer = self.access.may_connect(Client("c", username, certified=certified), password)
        verdict = await answer if isinstance(answer, Awaitable) else answer
        return verdict is True or isinstance(verdict, Proved)


def test_logins_of_a_file_are_read_again_when_it_has_changed(tmp_path: Path):
    file = tmp_path / "logins"
    file.write_text(f"press:{RIGHT}\n")

    async def main() -> None:
        gate = Gate(password_file=str(file), users=[MqttUser(username="oven", password_hash=RIGHT)])
        assert await gate.enters("press", b"right")
        assert await gate.enters("oven", b"right")
        file.write_text(f"mixer:{OTHER}\n# press has gone\n")
        assert not await gate.enters("press", b"right")
        assert await gate.enters("mixer", b"other")
        assert await gate.enters("oven", b"right")
        assert gate.warnings == []

    asyncio.run(main())


def test_a_file_that_is_wrong_later_changes_nothing_and_is_told_of_once(tmp_path: Path):
    file = tmp_path / "logins"
    file.write_text(f"press:{RIGHT}\n")

    async def main() -> None:
        gate = Gate(password_file=str(file))
        file.write_text("press\n")
        assert await gate.enters("press", b"right")
        assert await gate.enters("press", b"right")
        assert len(gate.warnings) == 1
        assert "line 1: expected NAME:HASH" in gate.warnings[0]
        os.remove(file)
        assert await gate.enters("press", b"right"), "it is being replaced"
        assert len(gate.warnings) == 1

    asyncio.run(main())


def test_files_that_are_wrong_stop_the_node_from_starting(tmp_path: Path):
    with pytest.raises(StartupError, match="cannot read .*No such file"):
        Gate(password_file=str(tmp_path / "none"))
    (tmp_path / "logins").write_text("nonsense")
    with pytest.raises(InvalidInput, match="line 1"):
        Gate(password_file=str(tmp_path / "logins"))
    with pytest.raises(InvalidInput, match="read token keys"):
        Gate(tokens=MqttTokens(keys=str(tmp_path / "logins"), algorithms=["ES256"]))


def test_a_token_lets_in_whom_it_names(tmp_path: Path):
    key, later = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    file = tmp_path / "keys.pem"
    file.write_bytes(key.as_pem(private=False))

    def token(signer: ECKey) -> bytes:
        claims = {"sub": "press", "exp": CLOCK.wall_ms() // 1000 + 60}
        return jwt.encode({"alg": "ES256"}, claims, signer).encode()

    async def main() -> None:
        gate = Gate(
            tokens=MqttTokens(keys=str(file), algorithms=["ES256"]),
            users=[MqttUser(username="oven", password_hash=RIGHT)],
        )
        assert await gate.enters("press", token(key))
        assert not await gate.enters("oven", token(key)), "it names somebody else"
        assert not await gate.enters(None, token(key))
        assert not await gate.enters("press", token(later))
        assert await gate.enters("oven", b"right"), "passwords are good, too"
        file.write_bytes(later.as_pem(private=False))
        assert await gate.enters("press", token(later))
        assert not await gate.enters("press", token(key))

    asyncio.run(main())


def test_a_connection_ends_with_the_token_that_let_it_in(tmp_path: Path):
    key = ECKey.generate_key("P-256")
    (tmp_path / "keys.pem").write_bytes(key.as_pem(private=False))
    gate = Gate(tokens=MqttTokens(keys=str(tmp_path / "keys.pem"), algorithms=["ES256"]))
    claims = {"sub": "press", "exp": CLOCK.wall_ms() // 1000 + 60}
    shown = jwt.encode({"alg": "ES256"}, claims, key).encode()
    verdict = gate.access.may_connect(Client("c", "press"), shown)
    assert isinstance(verdict, Proved)
    assert verdict.until_s is not None
    assert 60 <= verdict.until_s - CLOCK.monotonic_s() <= 60 + LEEWAY_S


def test_a_certificate_lets_in_whom_it_names_without_a_password():
    async def main() -> None:
        gate = Gate(users=[MqttUser(username="oven", password_hash=RIGHT)])
        assert await gate.enters("press", None, certified="press")
        assert not await gate.enters("oven", b"right", certified="press"), "it gives itself out for somebody else"

    asyncio.run(main())


def test_permissions_go_by_user_and_client():
    gate = Gate(access=[MqttPermission(topics=["%u/%c/#"])])
    client = Client("c1", "press")
    assert gate.access.restricts(client)
    assert gate.access.may_publish(client, "press/c1/a")
    assert not gate.access.may_publish(client, "press/c2/a")
    assert gate.access.may_subscribe(client, "press/c1/+")
    assert not gate.access.may_subscribe(client, "press/#")
    assert not Gate().access.restricts(client)
    assert Gate().access.exchange(client, "SCRAM") is None
