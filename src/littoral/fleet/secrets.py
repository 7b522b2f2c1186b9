"""Apps' secrets: sealed from the root to the workers.

Each app that has secrets has a key, drawn at the root. Its secrets, sealed under that key, are a record of the desired state, which
every node keeps and none can read. A node on which the app is placed asks the root for the key once, through the nodes between
(`littoral.fleet.secret_keys`); what it gets is sealed to it alone. From then on the node opens whatever comes, also while it is cut
off. The keys are kept sealed under one that follows from the node's identity, so that neither a store nor a backup of one
opens anything.
"""

import hashlib
import re

import msgspec

from littoral.core.errors import Conflict, InvalidInput, StorageCorrupt, TooLarge
from littoral.core.function_limits import SECRET_BYTES, SECRETS
from littoral.core.limits import Limits
from littoral.core.names import NODE_NAME
from littoral.core.random import Random
from littoral.core.undecodable import UNDECODABLE
from littoral.fleet.bundles import revision_of
from littoral.fleet.desired import DESIRED, SECRETS_KIND, DesiredRecord, submit_desired
from littoral.security.blob_seal import Unsealable
from littoral.security.secret_seal import KEY_BYTES, seal, unseal
from littoral.store.store import Store
from littoral.store.transaction import Transaction

KEYS = "secret-keys"
"""Scope of the state: by app, its key, sealed for this node."""
SEALED = "secrets"
"""Scope of the state, at the root: by app, its Sealed. What is desired may not be folded yet."""

_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class Sealed(msgspec.Struct, frozen=True, array_like=True):
    """An app's secrets as every node has them."""

    key: bytes
    """The digest of the app's key."""
    values: dict[str, bytes]
    """By name."""


_encode = msgspec.msgpack.Encoder(order="sorted").encode
_decode = msgspec.msgpack.Decoder(Sealed).decode
_decode_record = msgspec.msgpack.Decoder(DesiredRecord).decode


def desired_secrets(store: Store, app: str) -> tuple[str, Sealed] | None:
    """An app's secrets as they are desired here, with their revision; None where it has none. Raises StorageCorrupt."""
    value = store.state_value(DESIRED, f"{SECRETS_KIND}/{app}")
    if value is None:
        return None
    try:
        record = _decode_record(value)
        return record.revision, _decode(record.document or b"")
    except UNDECODABLE as error:
        raise StorageCorrupt("read secrets of", f"app {app}", f"they are not as they were written ({error})") from error


def opened(app: str, sealed: Sealed, key: bytes) -> dict[str, str]:
    """The secrets themselves. Raises StorageCorrupt."""
    try:
        return {name: unseal(key, value, _about(app, name)).decode() for name, value in sealed.values.items()}
    except (Unsealable, UnicodeDecodeError):
        raise StorageCorrupt(
            "open secrets of", f"app {app}", "they are not what was sealed under its key", "Set them again at the root"
        ) from None


def key_digest(key: bytes) -> bytes:
    """By what a key is recognised that is not said."""
    return hashlib.sha256(b"littoral secret key " + key).digest()[:16]


class KeyRing:
    """Apps' keys at one node."""

    def __init__(self, own_key: bytes, random: Random) -> None:
        """own_key: see littoral.security.secret_seal."""
        self._own_key = own_key
        self._random = random

    def open(self, app: str, held: bytes | None, digest: bytes) -> bytes | None:
        """The app's key as it is kept in the state, if it is here and is the one that has this digest. One that another
        identity of the node kept is not."""
        if held is None:
            return None
        try:
            key = unseal(self._own_key, held, _about_key(app))
        except Unsealable:
            return None
        return key if key_digest(key) == digest else None

    def keep(self, tx: Transaction, app: str, key: bytes) -> None:
        """Keep a key in the state."""
        tx.put_state(KEYS, app, seal(self._own_key, key, _about_key(app), self._random))


class SecretDesk:
    """Sets apps' secrets. At the root."""

    def __init__(self, store: Store, ring: KeyRing, limits: Limits, random: Random) -> None:
        self._store = store
        self._ring = ring
        self._limits = limits
        self._random = random

    def names(self, app: str) -> list[str]:
        """Of an app's secrets, in order."""
        value = self._store.state_value(SEALED, app)
        return [] if value is None else sorted(_decode(value).values)

    def key(self, app: str) -> bytes | None:
        """The app's key; None for one that has no secrets, or that cannot be opened here."""
        value = self._store.state_value(SEALED, app)
        return None if value is None else self._ring.open(app, self._store.state_value(KEYS, app), _decode(value).key)

    async def put(self, app: str, name: str, value: bytes) -> None:
        """Set one; when this returns, it is synced. Raises InvalidInput, TooLarge, Conflict."""
        what = f"{name[:130]} of app {app[:80]}"
        _check(app, name, value, what)
        if len(value) > self._limits[SECRET_BYTES]:
            self._limits.hit(SECRET_BYTES)
            most = f"at most {self._limits[SECRET_BYTES]} are allowed, the limit {SECRET_BYTES.name}"
            raise TooLarge("set secret", what, f"its value has {len(value)} bytes; {most}")

        def put(tx: Transaction) -> None:
            held = _held(tx, app)
            key = self._ring.open(app, tx.get_state(KEYS, app), held.key) if held is not None else None
            if held is not None and key is None:
                cause = "the others that the app has were sealed by another identity of this node"
                raise Conflict("set secret", what, cause, "Delete them all, then set them again")
            if key is None:
                key = self._random.token_bytes(KEY_BYTES)
                self._ring.keep(tx, app, key)
            values = {**(held.values if held else {}), name: seal(key, value, _about(app, name), self._random)}
            if len(values) > self._limits[SECRETS]:
                self._limits.hit(SECRETS)
                cause = f"the app has {self._limits[SECRETS]} already, the limit {SECRETS.name}"
                raise TooLarge("set secret", what, cause, "Delete those that it does not need")
            _desire(tx, app, Sealed(key_digest(key), values))

        await self._store.submit(put)

    async def delete(self, app: str, name: str) -> None:
        """Remove one; one that is not there is no error. With the last one goes the key, so that the next has another."""

        def delete(tx: Transaction) -> None:
            held = _held(tx, app)
            if held is None or name not in held.values:
                return
            values = {other: value for other, value in held.values.items() if other != name}
            _desire(tx, app, Sealed(held.key, values) if values else None)

        await self._store.submit(delete)


def _check(app: str, name: str, value: bytes, what: str) -> None:
    causes = [
        (NODE_NAME.fullmatch(app), "an app's name is 1 to 63 characters of a-z, 0-9 and '-'"),
        (_SECRET_NAME.fullmatch(name), "a secret's name is letters, digits and _, and does not begin with a digit"),
        (value, "its value is empty"),
    ]
    for is_right, cause in causes:
        if not is_right:
            raise InvalidInput("set secret", what, cause)
    try:
        value.decode()
    except UnicodeDecodeError:
        raise InvalidInput("set secret", what, "its value is no UTF-8 text", "Encode it, with base64 say") from None


def _held(tx: Transaction, app: str) -> Sealed | None:
    value = tx.get_state(SEALED, app)
    return None if value is None else _decode(value)


def _desire(tx: Transaction, app: str, sealed: Sealed | None) -> None:
    document = None if sealed is None else _encode(sealed)
    tx.put_state(SEALED, app, document)
    if document is None:
        tx.put_state(KEYS, app, None)
    # A nonce is in each value: equal revisions are the same secrets, and different ones tell nothing of them.
    submit_desired(tx, [DesiredRecord(SECRETS_KIND, app, revision_of(document or b""), document)])


def _about(app: str, name: str) -> bytes:
    return f"secret {app} {name}".encode()


def _about_key(app: str) -> bytes:
    return f"key of the secrets of {app}".encode()
