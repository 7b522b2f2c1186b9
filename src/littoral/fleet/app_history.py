"""What a root keeps of the revisions that its apps had: enough to go back to one of them, and to know whose code a blob is."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from littoral.core.errors import NotFound
from littoral.core.function_limits import APP_REVISIONS
from littoral.fleet.code_parts import CodePart

if TYPE_CHECKING:
    # Commands make such records, and have no store.
    from littoral.store.store import Store
    from littoral.store.transaction import Transaction

HISTORY = "app-revisions"
"""Scope of a line for each revision, by "APP/REVISION"."""
RECORDS = "app-records"
"""Scope of the records themselves, by the same keys: with the code of small apps, so they are read one at a time."""
CODE = "app-code"
"""Scope of the digests of blobs that were brought for apps; such a blob goes when nothing needs it any more."""


class Former(msgspec.Struct, frozen=True):
    """A revision that an app has or had."""

    app: str
    revision: str
    number: int
    """The order in which they were applied; one that is gone back to comes last again."""
    applied_ms: int
    code: tuple[CodePart, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Former).decode


class History:
    """What one transaction adds. Made once for all of it: what is kept is read once."""

    def __init__(self, tx: "Transaction", most: int = APP_REVISIONS.default) -> None:
        """most: revisions kept of one app."""
        self._tx = tx
        self._most = most
        self._kept: dict[str, list[Former]] = {}
        for former in sorted(map(_decode, tx.state(HISTORY).values()), key=lambda each: each.number):
            self._kept.setdefault(former.app, []).append(former)

    def note(self, app: str, revision: str, code: tuple[CodePart, ...], record: bytes) -> None:
        """The app gets this revision; what is older than the last few is forgotten."""
        kept = self._kept.setdefault(app, [])
        former = Former(app, revision, kept[-1].number + 1 if kept else 1, self._tx.now_ms, code)
        key = f"{app}/{revision}"
        self._tx.put_state(HISTORY, key, _encode(former))
        self._tx.put_state(RECORDS, key, record)
        note_code(self._tx, code)
        kept[:] = [*(each for each in kept if each.revision != revision), former]
        while len(kept) > self._most:
            self._forget(kept.pop(0))

    def forget(self, app: str) -> None:
        """The app was withdrawn."""
        for former in self._kept.pop(app, ()):
            self._forget(former)

    def _forget(self, former: Former) -> None:
        key = f"{former.app}/{former.revision}"
        self._tx.put_state(HISTORY, key, None)
        self._tx.put_state(RECORDS, key, None)


def note_code(tx: "Transaction", code: Iterable[CodePart]) -> None:
    """These blobs are here, or are going to be, for the sake of an app."""
    for part in code:
        tx.put_state(CODE, part.digest, b"")


def revisions(store: "Store", app: str) -> list[Former]:
    """Those of an app, the newest last."""
    found = [_decode(value) for key, value in store.state(HISTORY).items() if key.startswith(f"{app}/")]
    return sorted(found, key=lambda each: each.number)


def former_record(store: "Store", app: str, revision: str) -> bytes:
    """The record of a revision, as it was applied. Raises NotFound."""
    record = store.state_value(RECORDS, f"{app}/{revision}")
    if record is None:
        raise NotFound(
            "go back to",
            f"revision {revision} of {app}",
            "it is not kept",
            f"`littoral app revisions {app}` lists them",
        )
    return record


def needed_code(store: "Store") -> set[str]:
    """Digests of the blobs that revisions of apps here can be gone back to with."""
    return {part.digest for value in store.state(HISTORY).values() for part in _decode(value).code}
