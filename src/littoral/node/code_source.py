"""The blobs of apps' code at one node: fetched through the tree, kept as long as something needs them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from littoral.core.errors import Conflict, InvalidInput, NotFound
from littoral.core.function_limits import APP_REVISIONS
from littoral.core.limits import Limits
from littoral.fleet.app_history import CODE, needed_code, note_code
from littoral.fleet.code_parts import CodePart
from littoral.fleet.desired import DesiredRecord, Wanted
from littoral.store.blob_rows import blob_name
from littoral.store.blobs import Blobs
from littoral.store.store import Store
from littoral.store.transaction import Transaction
from littoral.streams.blob_fetcher import BlobFetcher

PATIENCE_S = 60.0
"""How long one look for more of a blob takes at most."""


class CodeBlobs:
    """Implements `littoral.node.app_code.CodeSource`."""

    def __init__(self, store: Store, blobs: Blobs, fetcher: BlobFetcher, limits: Limits) -> None:
        self._store = store
        self._blobs = blobs
        self._fetcher = fetcher
        self.revisions_most = limits[APP_REVISIONS]
        """Of one app that the root keeps."""

    async def fetch(self, part: CodePart) -> None:
        """Have it here as a whole. Raises: InvalidInput where the blob is another than the record says, NotFound,
        Unavailable, and what keeps it from being taken here."""
        row = self._blobs.row(part.digest)
        if row is None or not row.complete:
            # What is brought for an app goes when no app needs it any more; what an operator put here does not.
            await self._store.submit(partial(note_code, code=[part]))
        size = await self._fetcher.size(part.digest)
        if size != part.bytes:
            cause = f"it has {size} bytes, and not the {part.bytes} that its revision says"
            raise InvalidInput("fetch code", blob_name(part.digest), cause, "Build and deploy it again")
        while not await self._fetcher.read(part.digest, size - 1, 1, PATIENCE_S):
            pass

    def have(self, part: CodePart) -> int:
        """How many of its bytes are here."""
        row = self._blobs.row(part.digest)
        return 0 if row is None else row.size if row.complete else self._blobs.have(part.digest)

    def open(self, part: CodePart) -> "_Reader":
        """Read one that is here, on whichever thread."""
        return _Reader(self._blobs, part.digest)

    def check(self, record: DesiredRecord) -> None:
        """Before a record becomes desired at the root: its code must be here. Raises Conflict."""
        for part in record.code:
            row = self._blobs.row(part.digest)
            if row is None or not row.complete or row.size != part.bytes:
                cause = f"its code {blob_name(part.digest)} is not here"
                raise Conflict("apply", record.key, cause, "Run the same command again: it sends what is missing")

    async def forget(self, wanted: Callable[[], Mapping[str, Wanted]]) -> None:
        """Drop what was brought for apps, and is needed by none that is wanted, nor to go back to one."""
        for digest in sorted(self._store.state(CODE).keys() - self._needed(wanted())):
            # What is wanted may have changed while another one was dropped.
            if digest not in self._needed(wanted()):
                with suppress(NotFound):
                    await self._blobs.drop(digest)
                await self._store.submit(partial(Transaction.put_state, scope=CODE, key=digest, value=None))

    def _needed(self, wanted: Mapping[str, Wanted]) -> set[str]:
        return needed_code(self._store) | {part.digest for each in wanted.values() for part in each.code}


class _Reader:
    """One blob, from its beginning to its end."""

    def __init__(self, blobs: Blobs, digest: str) -> None:
        self._blobs = blobs
        self._digest = digest
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        """Raises NotFound, StorageCorrupt."""
        assert size > 0, size
        data = self._blobs.read_here(self._digest, self._at, size)
        self._at += len(data)
        return data
