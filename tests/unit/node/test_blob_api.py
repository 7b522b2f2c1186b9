"""The operator API of blobs, while who called goes away."""

import asyncio
import hashlib

import msgspec
import pytest

from littoral.core.backoff import Backoff
from littoral.core.http import Request, Response
from littoral.core.tasks import Tasks
from littoral.node.blob_api import BlobApi
from littoral.node.blob_messages import PATH
from littoral.store.blobs import open_blobs
from littoral.streams.blob_fetcher import BlobFetcher
from littoral.testing.loop import run
from littoral.testing.store import SimStore
from tests.support.blobs import MIB, content, in_a_second


@pytest.mark.parametrize("after_s", [0.5, 1.5, 2.5, 3.5, 4.5])
def test_a_put_that_was_cancelled_is_put_again(after_s: float):
    data = content(MIB)

    async def main() -> None:
        node = SimStore()
        blobs = await open_blobs(
            node.running(), node.disk, node.limits, node.clock, node.random, in_a_second, "", print, encrypted=False
        )
        failures: list[BaseException] = []
        fetcher = BlobFetcher(
            blobs, None, Tasks(failures.append), node.clock, lambda: Backoff(node.random, 1000), node.limits
        )
        api = BlobApi(blobs, fetcher, node.limits, in_a_second)
        put = Request("PUT", PATH, {}, {}, data)
        first = asyncio.ensure_future(api.handle(put))
        await asyncio.sleep(after_s)
        first.cancel()
        answer = await api.handle(put)
        assert isinstance(answer, Response)
        assert answer.status == 201
        digest = hashlib.sha256(data).hexdigest()
        assert msgspec.json.decode(answer.body) == {"digest": f"sha256:{digest}", "size": MIB}
        assert await blobs.read(digest, 0, MIB) == data
        await asyncio.gather(first, return_exceptions=True)
        assert failures == []
        await node.close()

    run(main, 1)
