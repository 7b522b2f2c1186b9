"""Messages of a queue that are recognised when they are sent again, by the keys that their senders gave them."""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from littoral.core.event_limits import QUEUE_KEY_S, QUEUE_KEYS
from littoral.core.limits import Limits
from littoral.store.transaction import Transaction

DIGEST_BYTES = 16


class QueueKeys:
    """The keys of one queue: the newest, in the order in which they came. Each is on disk with its message."""

    def __init__(self, queue: str, limits: Limits) -> None:
        self._scope = f"queue-keys/{queue}"
        self._limits = limits
        self._sent_ms: dict[str, int] = {}

    def load(self, tx: Transaction) -> Mapping[str, bytes]:
        """What is kept, for `take_over`."""
        return tx.state(self._scope)

    def take_over(self, kept: Mapping[str, bytes]) -> None:
        """Begin with what is kept."""
        sent = {key: msgspec.msgpack.decode(value, type=int) for key, value in kept.items()}
        self._sent_ms = dict(sorted(sent.items(), key=lambda each: each[1]))

    def outdated(self, now_ms: int, adding: int) -> list[str]:
        """What is to be forgotten where so many come."""
        oldest_ms = now_ms - self._limits[QUEUE_KEY_S] * 1000
        over = len(self._sent_ms) + adding - self._limits[QUEUE_KEYS]
        if over > 0:
            self._limits.hit(QUEUE_KEYS)
        return [key for place, (key, sent) in enumerate(self._sent_ms.items()) if place < over or sent < oldest_ms]

    def note(self, tx: Transaction, key: str, now_ms: int) -> bool:
        """A message with this key is sent; False where one was before."""
        digest = digest_of(key)
        if tx.get_state(self._scope, digest) is not None:
            return False
        tx.put_state(self._scope, digest, msgspec.msgpack.encode(now_ms))
        return True

    def forget(self, tx: Transaction, digests: Iterable[str]) -> None:
        """Remove what is outdated."""
        for digest in digests:
            tx.put_state(self._scope, digest, None)

    def noted(self, keys: Iterable[str], forgotten: Iterable[str], now_ms: int) -> None:
        """That is on disk."""
        for digest in forgotten:
            self._sent_ms.pop(digest, None)
        for key in keys:
            self._sent_ms.setdefault(digest_of(key), now_ms)


def digest_of(key: str) -> str:
    """What is kept of a key: senders may make it of what nobody else is to know, and as long as they like."""
    return hashlib.blake2b(key.encode(), digest_size=DIGEST_BYTES).hexdigest()
