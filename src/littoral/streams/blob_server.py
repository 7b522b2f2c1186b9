"""The parent's side of blobs: what children bring, and what they ask for.

Whoever knows a digest may have the blob: 256 bits that nobody guesses are what a link to a document is elsewhere. A child
brings blobs of its own accord only, and takes none away. What it has not brought as a whole is its own affair: others
neither read it nor add to it.
"""

import zlib

from littoral.core.errors import NotFound
from littoral.core.http import Request, Response
from littoral.core.limits import BLOB_PIECE_BYTES, Limits
from littoral.store.blob_rows import blob_digest, blob_name
from littoral.store.blobs import Blobs
from littoral.streams.blob_fetcher import BlobFetcher
from littoral.wire import peer
from littoral.wire.answers import method_not_allowed
from littoral.wire.query import required_number

PATIENCE_S = 5.0
"""How long a child that asks for what is not here yet waits for an answer; it asks again."""


class BlobServer:
    """Answers the blob calls of the peer protocol for authenticated children."""

    def __init__(self, blobs: Blobs, fetcher: BlobFetcher, limits: Limits) -> None:
        self._blobs = blobs
        self._fetcher = fetcher
        self._limits = limits

    async def handle(self, child: str, request: Request) -> Response:
        """Answer one request of `child`. Raises LittoralError."""
        match request.method, request.path:
            case "POST", peer.BLOB_OFFER:
                offer = peer.decode(request.body, peer.BlobOffer, "offer of a blob")
                return peer.answer(await self._blobs.begin(offer.digest, offer.size, source=child, send=True))
            case "POST", peer.BLOB_PIECE:
                piece = peer.decode(request.body, peer.BlobPiece, "piece of a blob")
                data = peer.check_crc(piece.data, piece.crc, f"piece of blob {blob_name(piece.digest)}")
                return peer.answer(await self._blobs.append(piece.digest, piece.offset, data, source=child))
            case "GET", peer.BLOB:
                return await self._read(request)
            case _, peer.BLOB | peer.BLOB_OFFER | peer.BLOB_PIECE:
                raise method_not_allowed(request)
        raise NotFound("find", request.path, "there is nothing here for neighbours")

    async def _read(self, request: Request) -> Response:
        digest = blob_digest(request.query.get("digest", ""))
        size = await self._fetcher.size(digest)
        offset, most = (
            required_number(request.query, key, "read blob", blob_name(digest)) for key in ("offset", "most")
        )
        data = b""
        if most:
            most = min(most, self._limits[BLOB_PIECE_BYTES])
            data = await self._fetcher.read(digest, offset, most, PATIENCE_S)
        return peer.answer(peer.BlobPart(size, zlib.crc32(data), data))
