"""Who may connect to this node's broker with a user name and a password."""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable
from concurrent.futures import Executor

from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_LOGIN_HASHES, MQTT_LOGIN_WAITING
from littoral.core.random import Random
from littoral.core.resources.mqtt import Mqtt
from littoral.drivers.quiet_threads import quiet_threads
from littoral.iot.access import Refused
from littoral.security.passwords import check_password_hash, hash_password, verify_password
from littoral.wire.mqtt import ReasonCode

BUSY = Refused("", ReasonCode.SERVER_BUSY)
"""Without a word in the log for each: there are many, and the limit is counted."""
_Shown = tuple[str, bytes]
"""A user, and the keyed hash of the password that it showed."""


class MqttLogin:
    """Checks user name and password against the node's document, and the logins of a file.

    Each check takes memory and a core, and whoever knows no password may send many. So few are made at a time, in threads that step
    back for the event loop; few wait, and what nobody waits for any more is not begun. A password that was right is remembered as a
    keyed hash, and the same one is checked once for all who show it meanwhile: a thousand devices that come back after a restart
    must not keep a gateway busy for a minute.
    """

    def __init__(self, config: Mqtt, random: Random, limits: Limits) -> None:
        """Raises InvalidInput for a password hash that is none."""
        self._anonymous = config.anonymous
        self._written = {user.username: user.password_hash for user in config.users}
        for each in self._written.values():
            check_password_hash(each)
        self._limits = limits
        self._hashes = self._written
        self._decoys = tuple(self._written.values())
        """Of users there are none of one of these is checked, so that the answer takes the same time."""
        self._key = random.token_bytes(32)
        self._proved: dict[str, tuple[str, bytes]] = {}
        """By user: the hash that it had then, and the keyed hash of the password."""
        self._random = random
        self._hashing = asyncio.Semaphore(limits[MQTT_LOGIN_HASHES])
        self._threads: Executor | None = None
        self._checks: dict[_Shown, _Check] = {}
        """Those that wait or are under way."""

    def replace_more(self, hashes: dict[str, str]) -> None:
        """Let these in too, by name. Where the document has the same name, it says who that is."""
        self._hashes = hashes | self._written
        self._decoys = tuple(self._hashes.values())
        # A check goes by the hash that there was when it began.
        self._checks = {}

    def knows(self, username: str | None) -> bool:
        """Whether it is for these logins to say who that is."""
        return self._anonymous if username is None else username in self._hashes

    def __call__(self, username: str | None, password: bytes | None) -> bool | Refused | Awaitable[bool]:
        """Whether a client may connect. What takes time runs beside the event loop."""
        if username is None:
            return self._anonymous
        shown = username, self._digest(password or b"")
        if self._is_proved(*shown):
            return True
        try:
            text = (password or b"").decode()
        except UnicodeDecodeError:
            return False
        check = self._checks.get(shown)
        if check is None:
            if len(self._checks) >= self._limits[MQTT_LOGIN_HASHES] + self._limits[MQTT_LOGIN_WAITING]:
                self._limits.hit(MQTT_LOGIN_WAITING)
                return BUSY
            check = self._checks[shown] = _Check()
        return self._answer(shown, text, check)

    async def _answer(self, shown: _Shown, text: str, check: "_Check") -> bool:
        check.askers += 1
        try:
            if check.task is None:
                check.task = asyncio.get_running_loop().create_task(
                    self._check(shown, text, check), name="mqtt password"
                )
            return await asyncio.shield(check.task)
        finally:
            check.askers -= 1
            if not check.askers and not check.has_begun and check.task is not None:
                check.task.cancel()

    async def _check(self, shown: _Shown, text: str, check: "_Check") -> bool:
        username = shown[0]
        try:
            async with self._hashing:
                if self._is_proved(*shown):  # by a check of before the logins changed
                    return True
                check.has_begun = True
                stored = self._hashes.get(username)
                right = await self._verify(text, stored or await self._decoy(shown))
                if right and stored is not None:
                    self._proved[username] = stored, shown[1]
                    return True
                return False
        finally:
            if self._checks.get(shown) is check:
                del self._checks[shown]

    async def _verify(self, text: str, password_hash: str) -> bool:
        self._threads = self._threads or quiet_threads(self._limits[MQTT_LOGIN_HASHES], "mqtt-password")
        return await asyncio.get_running_loop().run_in_executor(self._threads, verify_password, text, password_hash)

    async def _decoy(self, shown: _Shown) -> str:
        """What is checked of a user there is none of: always the same of the hashes that there are. They may cost more than others, or
        less, and so do those of who is here."""
        if not self._decoys:
            self._decoys = (await asyncio.to_thread(hash_password, "nobody", self._random),)
        drawn = hashlib.blake2b(shown[0].encode(), key=self._key, digest_size=8).digest()
        return self._decoys[int.from_bytes(drawn, "big") % len(self._decoys)]

    def _is_proved(self, username: str, digest: bytes) -> bool:
        stored, proved = self._proved.get(username, ("", b""))
        return stored == self._hashes.get(username) and hmac.compare_digest(proved, digest)

    def _digest(self, password: bytes) -> bytes:
        return hashlib.blake2b(password, key=self._key).digest()


class _Check:
    """Of one password of one user, for all who show it at the same time."""

    __slots__ = ("askers", "has_begun", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[bool] | None = None
        self.askers = 0
        self.has_begun = False
