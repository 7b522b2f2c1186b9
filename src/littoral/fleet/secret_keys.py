"""The keys of apps' secrets, from the root to the nodes on which the apps are placed.

A node shows its certificate, and asks through its parent. The root answers with the app's key, sealed to that certificate's
public key: whoever passes it on cannot open it.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import msgspec

from littoral.core.backoff import Backoff
from littoral.core.clock import Clock
from littoral.core.errors import Conflict, Forbidden, LittoralError, NotFound, Unavailable
from littoral.core.function_limits import SECRET_KEY_DELAY_MS
from littoral.core.limits import Limits
from littoral.core.random import Random
from littoral.core.resources import App, placement_matches
from littoral.core.tasks import Tasks
from littoral.fleet.desired import Wanted
from littoral.fleet.kv_calls import ParentCall
from littoral.fleet.registry import Registry
from littoral.fleet.secrets import KEYS, KeyRing, Sealed, SecretDesk, desired_secrets, key_digest, opened
from littoral.security.blob_seal import Unsealable
from littoral.security.ca import is_issued_by, node_of, not_after_ms, read_certificate
from littoral.security.identity import Identity
from littoral.security.keys import public_der
from littoral.security.secret_seal import seal_to, unseal_with
from littoral.store.store import Store
from littoral.wire import peer

SECRET_KEY = "/v1/peer/secret-key"


class KeyAsk(msgspec.Struct, frozen=True):
    """Which key is asked for, and by whom."""

    app: str
    certificate_pem: bytes


class KeyAnswer(msgspec.Struct, frozen=True):
    """The key."""

    sealed: bytes


class SecretKeys(Protocol):
    """Answers a node below that asks for a key."""

    async def answer(self, ask: KeyAsk, via: str) -> KeyAnswer:
        """via: the child through which it asks. Raises LittoralError."""
        ...


class RootSecretKeys:
    """The keys are here."""

    def __init__(
        self,
        desk: SecretDesk,
        registry: Registry,
        identity: Identity,
        wanted: Callable[[], Mapping[str, Wanted]],
        clock: Clock,
        random: Random,
    ) -> None:
        """wanted: the desired state, by "Kind/name"."""
        self._desk = desk
        self._registry = registry
        self._identity = identity
        self._wanted = wanted
        self._clock = clock
        self._random = random

    async def answer(self, ask: KeyAsk, via: str) -> KeyAnswer:
        """See SecretKeys.answer."""
        node, public_key = self._asker(ask, via)
        app = self._wanted().get(f"App/{ask.app}")
        member = self._registry.member(node)
        if app is None or member is None or not _is_placed(app, member):
            cause = f"it is not placed on node {node}"
            raise Forbidden("give key of secrets of", f"app {ask.app[:80]}", cause, "Place the app on that node")
        key = self._desk.key(ask.app)
        if key is None:
            raise NotFound("give key of secrets of", f"app {ask.app[:80]}", "the root has none, or cannot open it")
        return KeyAnswer(seal_to(public_key, key, _about(ask.app, node), self._random))

    def _asker(self, ask: KeyAsk, via: str) -> tuple[str, bytes]:
        certificate = read_certificate(ask.certificate_pem)
        node = node_of(certificate) or ""
        public_key = public_der(certificate.public_key())
        trusted = is_issued_by(certificate, read_certificate(self._identity.ca_pem))
        valid = trusted and self._clock.wall_ms() < not_after_ms(certificate)
        if not valid or self._registry.via(node) != via or not self._registry.is_known(node, public_key):
            cause = f"the certificate shown is not that of a node below {via}"
            raise Forbidden("give key of secrets of", f"app {ask.app[:80]}", cause)
        return node, public_key


class ParentSecretKeys:
    """The keys are above: pass the question on."""

    def __init__(self, call: ParentCall) -> None:
        self._call = call

    async def answer(self, ask: KeyAsk, via: str) -> KeyAnswer:
        """See SecretKeys.answer."""
        response = await self._call("POST", SECRET_KEY, peer.encode(ask))
        return peer.decode(response.body, KeyAnswer, "key of secrets")


class AppSecrets:
    """What apps on this node find in `env`: opened where the key is here, and asked for where it is not."""

    def __init__(
        self,
        store: Store,
        ring: KeyRing,
        identity: Callable[[], Identity],
        call: ParentCall | None,
        random: Random,
        limits: Limits,
        tasks: Tasks,
    ) -> None:
        """call: how to ask the parent; None at the root, which has all keys."""
        self.arrived: Callable[[], None] = lambda: None
        """Told when `of` says something else than before."""
        self._store = store
        self._ring = ring
        self._identity = identity
        self._call = call
        self._random = random
        self._limits = limits
        self._tasks = tasks
        self._asking: dict[str, bytes] = {}
        """By app, the digest of the key that is asked for."""
        self._refused: dict[str, LittoralError] = {}

    def of(self, app: str) -> tuple[str, dict[str, str]]:
        """The app's secrets, and their revision, which is empty where it has none. Raises Unavailable while its key is
        not here; it is on its way then, and `arrived` is told."""
        found = desired_secrets(self._store, app)
        if found is None:
            return "", {}
        revision, sealed = found
        key = self._ring.open(app, self._store.state_value(KEYS, app), sealed.key)
        if key is not None:
            return revision, opened(app, sealed, key)
        if self._call is None:
            raise Conflict(
                "open secrets of",
                f"app {app}",
                "another identity of this node sealed them",
                "Delete them all at the root, then set them again",
            )
        if self._asking.get(app) != sealed.key:
            self._asking[app] = sealed.key
            self._tasks.start(self._ask(app, sealed, self._call), f"ask for the secrets of {app}")
        refused = self._refused.get(app)
        cause = "their key has not come from the root yet" if refused is None else str(refused)
        raise Unavailable("open secrets of", f"app {app}", cause, "Look whether the way to the root is cut")

    def only(self, apps: Collection[str]) -> None:
        """Ask for the keys of no other apps any more: they are not placed here."""
        for app in self._asking.keys() - set(apps):
            del self._asking[app]
            self._refused.pop(app, None)

    async def _ask(self, app: str, sealed: Sealed, call: ParentCall) -> None:
        delays = Backoff(self._random, self._limits[SECRET_KEY_DELAY_MS])
        while self._asking.get(app) == sealed.key:
            try:
                key = await self._asked(app, call)
            except LittoralError as error:
                is_new = str(error) != str(self._refused.get(app, ""))
                self._refused[app] = error
                if is_new:
                    self.arrived()
                await asyncio.sleep(delays.next_delay_s())
                continue
            if key_digest(key) != sealed.key:
                # The secrets were set anew meanwhile; their record is on its way.
                await asyncio.sleep(delays.next_delay_s())
                continue
            await self._store.submit(lambda tx, key=key: self._ring.keep(tx, app, key))  # type: ignore[misc]
            del self._asking[app]
            self._refused.pop(app, None)
            self.arrived()
            return

    async def _asked(self, app: str, call: ParentCall) -> bytes:
        identity = self._identity()
        response = await call("POST", SECRET_KEY, peer.encode(KeyAsk(app, identity.certificate_pem)))
        answer = peer.decode(response.body, KeyAnswer, "key of secrets")
        try:
            return unseal_with(identity.key.private_key, answer.sealed, _about(app, identity.node))
        except Unsealable:
            raise Unavailable("open key of secrets of", f"app {app}", "it was sealed to another node") from None


def _is_placed(app: Wanted, member: peer.Member) -> bool:
    assert isinstance(app.resource, App)
    return placement_matches(app.resource.spec.placement, tier=member.tier, node=member.node, labels=member.labels)


def _about(app: str, node: str) -> bytes:
    return f"key of the secrets of {app} for {node}".encode()
