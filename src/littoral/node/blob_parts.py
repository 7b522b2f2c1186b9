"""The parts of a hub that hold blobs, serve them and fetch them, put together."""

from collections.abc import Iterator

from littoral.core.backoff import Backoff
from littoral.core.limits import RETRY_DELAY_MS, Limits
from littoral.core.tasks import Tasks
from littoral.node.blob_api import BlobApi
from littoral.node.hub_metrics import blob_metrics
from littoral.node.seams import Seams
from littoral.node.status import BlobStatus
from littoral.store.blobs import Blobs
from littoral.streams.blob_fetcher import BlobFetcher
from littoral.streams.blob_sender import BlobSender
from littoral.streams.blob_server import BlobServer
from littoral.streams.parent_link import ParentLink
from littoral.telemetry.metrics import Family


class BlobParts:
    """Of one hub."""

    def __init__(
        self,
        blobs: Blobs,
        link: ParentLink | None,
        sender: BlobSender | None,
        seams: Seams,
        limits: Limits,
        tasks: Tasks,
    ) -> None:
        """link, sender: to the parent; None at the root. tasks: what fetches run in."""
        self.fetcher = fetcher = BlobFetcher(
            blobs, link, tasks, seams.clock, lambda: Backoff(seams.random, limits[RETRY_DELAY_MS]), limits
        )
        self._blobs = blobs
        self._sender = sender
        self.server = BlobServer(blobs, fetcher, limits)
        self.api = BlobApi(blobs, fetcher, limits, seams.offload)

    def status(self) -> BlobStatus:
        """How many there are, and what waits."""
        blobs, waiting = self._blobs, self._blobs.waiting()
        return BlobStatus(
            count=blobs.count,
            bytes=blobs.held_bytes,
            to_send=len(waiting),
            to_send_bytes=sum(row.size for row in waiting),
        )

    def metrics(self) -> Iterator[Family]:
        """The same, and what has come and gone."""
        sent_bytes = self._sender.sent_bytes if self._sender is not None else 0
        return blob_metrics(self.status(), self._blobs.counters, sent_bytes)
