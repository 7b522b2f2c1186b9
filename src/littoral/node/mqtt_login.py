"""Who may connect to this node's broker with a user name and a password."""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable

from littoral.core.random import Random
from littoral.core.resources.mqtt import Mqtt
from littoral.security.passwords import check_password_hash, hash_password, verify_password

AT_ONCE = 2
"""Passwords checked at a time: each takes memory and a core, and whoever knows none may send many."""


class MqttLogin:
    """Checks user name and password against the node's document, and the logins of a file.

    A password that was right is remembered as a keyed hash, so that only the first login of each user pays for hashing:
    a thousand devices that come back after a restart must not keep a gateway busy for a minute.
    """

    def __init__(self, config: Mqtt, random: Random) -> None:
        """Raises InvalidInput for a password hash that is none."""
        self._anonymous = config.anonymous
        self._written = {user.username: user.password_hash for user in config.users}
        for each in self._written.values():
            check_password_hash(each)
        self._hashes = self._written
        self._key = random.token_bytes(32)
        self._proved: dict[str, tuple[str, bytes]] = {}
        """By user: the hash that it had then, and the keyed hash of the password."""
        self._random = random
        self._hashing = asyncio.Semaphore(AT_ONCE)
        self._decoy = ""
        """Checked for users there are none of, so that the answer takes the same time."""

    def replace_more(self, hashes: dict[str, str]) -> None:
        """Let these in too, by name. Where the document has the same name, it says who that is."""
        self._hashes = hashes | self._written

    def knows(self, username: str | None) -> bool:
        """Whether it is for these logins to say who that is."""
        return self._anonymous if username is None else username in self._hashes

    def __call__(self, username: str | None, password: bytes | None) -> bool | Awaitable[bool]:
        """Whether a client may connect. What takes time runs beside the event loop."""
        if username is None:
            return self._anonymous
        shown = password or b""
        if self._is_proved(username, shown):
            return True
        return self._check(username, shown)

    async def _check(self, username: str, shown: bytes) -> bool:
        try:
            text = shown.decode()
        except UnicodeDecodeError:
            return False
        async with self._hashing:
            if self._is_proved(username, shown):  # by another login, while this one waited
                return True
            if not self._decoy:
                self._decoy = await asyncio.to_thread(hash_password, "nobody", self._random)
            stored = self._hashes.get(username)
            right = await asyncio.to_thread(verify_password, text, stored or self._decoy)
            if right and stored is not None:
                self._proved[username] = stored, self._digest(shown)
                return True
            return False

    def _is_proved(self, username: str, shown: bytes) -> bool:
        stored, digest = self._proved.get(username, ("", b""))
        return stored == self._hashes.get(username) and hmac.compare_digest(digest, self._digest(shown))

    def _digest(self, password: bytes) -> bytes:
        return hashlib.blake2b(password, key=self._key).digest()
