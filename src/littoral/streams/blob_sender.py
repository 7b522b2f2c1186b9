"""Blobs on their way up: the lane bulk of the uplink carries their pieces between the frames of streams.

    offer    ask the parent how much of a blob it has: all of it, and nothing is sent
    piece    send from there on; the parent has synced it when it answers
    whole    the parent has compared the digest: it has the blob, and sends it on itself

One piece is in flight at a time. While streams have something to send as well, blobs get what the lane bulk gets beside
the other lanes (littoral.core.lanes). What the parent does not take for good is put into the dead letters, and not sent
again; what it has no room for is offered again later.
"""

import asyncio
import zlib
from collections.abc import Callable

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    LittoralError,
    NotFound,
    PeerUnreachable,
    StorageCorrupt,
    TooLarge,
)
from littoral.core.lanes import WEIGHTS
from littoral.core.limits import BLOB_PIECE_BYTES, Limits
from littoral.store.blob_file import BLOCK_BYTES
from littoral.store.blob_rows import BlobRow
from littoral.store.blobs import Blobs
from littoral.streams.link_budget import BudgetSpent
from littoral.streams.parent_link import ParentLink
from littoral.wire import peer

SHARE = WEIGHTS["bulk"] / (sum(WEIGHTS.values()) - WEIGHTS["bulk"])
"""Bytes of blobs for each byte of the other lanes, while these have something to send."""
NEVER = (TooLarge, Forbidden)
"""Refusals that stay what they are."""
DAMAGED = (InvalidInput, Conflict, StorageCorrupt)
"""Refusals that may be the fault of the way there, a few times. Not NotFound: the parent has dropped what had come, whoever
was the cause; or it is older, knows no such call, and will be renewed one day."""
TRIES_MOST = 5
LOOK_AGAIN_S = 1.0
"""How often the parent is asked whether a blob that it has all bytes of is right."""
RETRY_S, RETRY_MOST_S = 2.0, 300.0
"""How long a blob waits that the parent could not take, at first and at most."""
MARK_BYTES = 8
"""Of an answer."""


class _Try(msgspec.Struct):
    """What is known of one blob that is being sent."""

    mark: peer.BlobMark | None = None
    """The parent's last word of this session."""
    not_before_s: float = 0.0
    wait_s: float = RETRY_S
    failures: int = 0
    """Refusals of what came."""


class BlobSender:
    """Of one uplink."""

    def __init__(self, blobs: Blobs, link: ParentLink, limits: Limits, clock: Clock) -> None:
        self.sent_bytes = 0
        """That the parent has taken, since the hub started."""
        self._blobs = blobs
        self._link = link
        self._limits = limits
        self._clock = clock
        self._wake: Callable[[], None] = lambda: None
        self._tries: dict[str, _Try] = {}
        self._credit = 0.0
        """Bytes that blobs have earned by what the other lanes have sent."""
        blobs.watch(self._changed)

    def attach(self, wake: Callable[[], None]) -> None:
        """wake: called when there may be something to send that was not before."""
        self._wake = wake

    def begin_session(self) -> None:
        """What the parent has is asked again: it may be another one, or have been restored."""
        for each in self._tries.values():
            each.mark = None

    async def turn(self, frame_bytes: int) -> bool:
        """Send a piece if it is a blob's turn; whether one was sent, or asked for. frame_bytes: of the frame that has just
        gone; 0 where no stream has anything to send.

        Raises: PeerUnreachable, BudgetSpent.
        """
        piece = self._piece_bytes()
        self._credit = min(self._credit + frame_bytes * SHARE, 2.0 * piece)
        if frame_bytes and self._credit < piece:
            return False
        row = self._next()
        # What is not used is not saved up.
        self._credit = self._credit - piece if frame_bytes and row is not None else 0.0
        if row is None:
            return False
        await self._step(row)
        return True

    def _changed(self, digest: str) -> None:
        row = self._blobs.row(digest)
        if row is None or row.above == self._blobs.parent:
            self._tries.pop(digest, None)
        elif row.complete and row.send:
            self._wake()

    def _next(self) -> BlobRow | None:
        now_s = self._clock.monotonic_s()
        for row in self._blobs.waiting():
            if self._tries.setdefault(row.digest, _Try()).not_before_s <= now_s:
                return row
        return None

    def _piece_bytes(self) -> int:
        most = min(self._limits[BLOB_PIECE_BYTES], self._link.most(self._link.up))
        return max(BLOCK_BYTES, most // BLOCK_BYTES * BLOCK_BYTES)

    async def _step(self, row: BlobRow) -> None:
        """Offer a blob, or send its next piece."""
        each = self._tries[row.digest]
        before, data = each.mark, b""
        if before is not None and before.have < row.size:
            try:
                data = await self._blobs.read(row.digest, before.have, self._piece_bytes())
            except (StorageCorrupt, NotFound) as error:
                if self._blobs.row(row.digest) is not None:
                    await self._give_up(row, error)
                return
            except LittoralError:
                self._put_off_longer(each)  # the disk does not give it now; the others go on
                return
        try:
            if before is None or not data:
                mark = await self._call(peer.BLOB_OFFER, peer.BlobOffer(row.digest, row.size))
            else:
                piece = peer.BlobPiece(row.digest, before.have, zlib.crc32(data), data)
                mark = await self._call(peer.BLOB_PIECE, piece)
        except (PeerUnreachable, BudgetSpent):
            raise
        except LittoralError as error:
            await self._refused(row, each, error)
            return
        await self._noted(row, each, mark)

    async def _call(self, path: str, body: object) -> peer.BlobMark:
        link = self._link
        response = await link.call(
            "POST", path, peer.encode(body), pace=link.up, urgent=False, expected_bytes=MARK_BYTES
        )
        return peer.decode(response.body, peer.BlobMark, "mark of a blob")

    async def _noted(self, row: BlobRow, each: _Try, mark: peer.BlobMark) -> None:
        """The parent says how far it is."""
        before, each.mark = each.mark, mark
        if before is not None:
            self.sent_bytes += max(0, mark.have - before.have)
        if mark.complete:
            await self._blobs.note_above(row.digest)
        elif mark.have == row.size:
            self._put_off(each, LOOK_AGAIN_S)
        elif before is not None and mark.have < before.have:
            self._put_off_longer(each)
        elif before is not None and mark.have > before.have:
            each.wait_s = RETRY_S

    async def _refused(self, row: BlobRow, each: _Try, error: LittoralError) -> None:
        each.mark = None
        each.failures += isinstance(error, DAMAGED)
        if isinstance(error, NEVER) or each.failures >= TRIES_MOST:
            await self._give_up(row, error)
            return
        self._put_off_longer(each)

    async def _give_up(self, row: BlobRow, error: LittoralError) -> None:
        self._tries.pop(row.digest, None)
        await self._blobs.refuse(row.digest, str(error))

    def _put_off_longer(self, each: _Try) -> None:
        self._put_off(each, each.wait_s)
        each.wait_s = min(each.wait_s * 2, RETRY_MOST_S)

    def _put_off(self, each: _Try, wait_s: float) -> None:
        each.not_before_s = self._clock.monotonic_s() + wait_s
        asyncio.get_running_loop().call_later(wait_s, lambda: self._wake())
