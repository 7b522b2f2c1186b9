"""What a node's document says of its MQTT broker, as the broker asks for it: see `littoral.iot.access`."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError, Unauthenticated
from littoral.core.limits import Limits
from littoral.core.random import Random
from littoral.core.resources.mqtt import Mqtt, MqttTokens
from littoral.drivers.changed_file import ChangedFile
from littoral.iot.access import Client, Exchange, Proved, Refused, Verdict
from littoral.iot.permissions import Permissions
from littoral.node.mqtt_authenticator import AppAuthenticator
from littoral.node.mqtt_login import MqttLogin
from littoral.security.password_file import read_password_file
from littoral.wire.mqtt import ReasonCode

if TYPE_CHECKING:
    from littoral.security.login_tokens import LoginTokens

FILE_BYTES_MOST = 16 << 20
"""Some 100,000 logins: read between two turns of the event loop."""
KEYS_BYTES_MOST = 1 << 20
"""Some thousand keys, of which one is enough: each is read between two turns of the event loop, too, and takes longer."""


class MqttAccess:
    """Passwords, tokens and permissions. Certificates are checked by the listener; what they name is a client's user."""

    def __init__(
        self,
        config: Mqtt,
        random: Random,
        clock: Clock,
        warn: Callable[[str], None],
        authenticator: AppAuthenticator | None = None,
        limits: Limits | None = None,
    ) -> None:
        """warn: told of files that cannot be read again; what they said before goes on. authenticator: asked of whom nothing else
        knows. limits: None for those that there are by default. Raises InvalidInput, StartupError."""
        self._authenticator = authenticator
        self._login = MqttLogin(config, random, limits or Limits())
        self._permissions = Permissions(config.access)
        self._warn = warn
        self._clock = clock
        self._sources: list[tuple[ChangedFile, Callable[[bytes], None]]] = []
        if config.password_file is not None:
            file = ChangedFile(config.password_file, FILE_BYTES_MOST)
            self._take_logins(file.path, file.read())
            self._sources.append((file, lambda data: self._take_logins(file.path, data)))
        self._tokens = None if config.tokens is None else self._read_tokens(config.tokens, clock)

    def _read_tokens(self, config: MqttTokens, clock: Clock) -> "LoginTokens":
        # What reads tokens takes longer to import than all the rest, and few nodes have any.
        from littoral.security.login_tokens import LoginTokens  # noqa: PLC0415

        keys = ChangedFile(config.keys, KEYS_BYTES_MOST)
        tokens = LoginTokens(config, keys.read(), clock)
        self._sources.append((keys, tokens.replace_keys))
        return tokens

    def may_connect(self, client: Client, password: bytes | None) -> Verdict | Awaitable[Verdict]:
        """See Access.may_connect."""
        verdict = self._known(client, password)
        if verdict is None:
            assert self._authenticator is not None, client
            return self._authenticator.ask(client, password)
        if self._authenticator is not None and self._authenticator.asks_everybody:
            return self._asked_too(self._authenticator, verdict, client, password)
        return verdict

    async def _asked_too(
        self,
        authenticator: AppAuthenticator,
        known: Verdict | Awaitable[Verdict],
        client: Client,
        password: bytes | None,
    ) -> Verdict:
        verdict = await known if isinstance(known, Awaitable) else known
        if verdict is False or isinstance(verdict, Refused):
            return verdict
        answer = await authenticator.ask(client, password)
        if isinstance(answer, Proved) and isinstance(verdict, Proved):
            # Both have to be good: what a token ends, the app does not make longer.
            ends = [each for each in (answer.until_s, verdict.until_s) if each is not None]
            answer = msgspec.structs.replace(answer, until_s=min(ends, default=None))
        return answer

    def _known(self, client: Client, password: bytes | None) -> Verdict | Awaitable[Verdict] | None:
        """What certificates, tokens and logins say; None where that is for the authenticator."""
        if client.certified is not None:
            return client.username == client.certified
        self._read_again()
        if self._tokens is not None and password is not None and _is_token(password):
            return self._judged(self._tokens, client, password)
        if self._authenticator is not None and not self._login.knows(client.username):
            return None
        return self._login(client.username, password)

    def restricts(self, client: Client) -> bool:
        """See Access.restricts."""
        return client.rights is not None or not self._permissions.unlimited

    def may_publish(self, client: Client, topic: str) -> bool:
        """See Access.may_publish."""
        if client.rights is not None and not client.rights.may_publish(topic):
            return False
        return self._permissions.may_publish(client.username, client.client_id, topic)

    def may_subscribe(self, client: Client, topic_filter: str) -> bool | ReasonCode:
        """See Access.may_subscribe."""
        if client.rights is not None and not client.rights.may_subscribe(topic_filter):
            return False
        return self._permissions.may_subscribe(client.username, client.client_id, topic_filter)

    def exchange(self, client: Client, method: str) -> Exchange | None:
        """See Access.exchange."""
        if self._authenticator is None or client.certified not in (None, client.username):
            return None
        return self._authenticator.exchange(client, method)

    def _judged(self, tokens: "LoginTokens", client: Client, shown: bytes) -> Verdict:
        """A token lets in for as long as it is good: its connection ends with it."""
        try:
            user, left_s = tokens.user_of(shown)
        except Unauthenticated:
            return False
        return Proved(until_s=self._clock.monotonic_s() + left_s) if user == client.username else False

    def _take_logins(self, path: str, data: bytes) -> None:
        self._login.replace_more(read_password_file(data, path))

    def _read_again(self) -> None:
        """Each CONNECT looks whether a file has changed: that is two system calls, and nobody has to say when."""
        for file, take in self._sources:
            if not file.has_changed():
                continue
            try:
                take(file.read())
            except LittoralError as error:
                self._warn(f"{error}. What it said before goes on")


def _is_token(shown: bytes) -> bool:
    """Whether it has the form of a token: three parts, of which the first is a JSON object in base64url."""
    return shown.startswith(b"eyJ") and shown.count(b".") == 2
