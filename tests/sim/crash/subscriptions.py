"""Subscriptions by webhook and by wake stream, and workers that do something only when they are woken."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from littoral.core.errors import PeerUnreachable, StorageError, Unavailable
from littoral.core.http import Response
from littoral.store.transaction import Transaction
from littoral.streams.subscriptions.record import links_of, names_of
from littoral.testing.crash import Crash
from littoral.testing.disk import PowerCut
from littoral.testing.store import SimStore
from littoral.wire.durable_streams import format_offset, parse_offset
from tests.support.stores import name, records_of
from tests.support.subscribed import URL, Post, Receiver, Subscribed

STREAMS = ("events/a", "events/b")
RECORDS = 4
"""In each stream, one after the other."""
ANSWER_S = 3.0
UNTIL_S = 2000.0
HOOK, POOL = "__ds/subscriptions/hook", "__ds/subscriptions/pool"
WAKES = name("plant-a/wake/pool")


class Outside:
    """Clients, receiver and worker of one node. They outlive it, and ask it again until they are answered."""

    def __init__(self, sim: SimStore) -> None:
        self.sim = sim
        self.receiver = Receiver()
        self.receiver.answer = self.receive
        self.process = Subscribed(sim, sim.running(), self.receiver)
        self.acked: dict[tuple[str, str], int] = {}
        """(Subscription, stream) -> the cursor that was seen last."""
        self.wakes: dict[tuple[str, int], str] = {}
        """(Subscription, generation) -> its wake."""
        self.events = 0
        """Of the wake stream, read by the worker."""
        self.tries = 0

    def node(self) -> Subscribed:
        if self.sim.deaths > self.process.deaths or self.sim.store is None:
            self.process.abandon()
            self.process = Subscribed(self.sim, self.sim.running(), self.receiver)
        return self.process

    async def ask(self, method: str, path: str, body: object = None, token: str | None = None) -> Response:
        """Until it is answered, by whichever process."""
        while True:
            deaths = self.sim.deaths
            try:
                async with asyncio.timeout(ANSWER_S):
                    response = await self.node()(method, path, body, token)
            except (TimeoutError, StorageError, Unavailable, PowerCut):
                if self.sim.deaths == deaths:
                    raise
            else:
                # What a node whose power went answers is not heard.
                if self.sim.deaths == deaths:
                    return response

    # Cursors and generations

    def see(self, subscription: str, stream: str, offset: str) -> None:
        """A cursor, as the node tells it."""
        seen = parse_offset(offset)
        assert seen is not None
        before = self.acked.get((subscription, stream), 0)
        assert seen >= before, f"{subscription}: the cursor of {stream} went back from {before} to {seen}"
        self.acked[subscription, stream] = seen

    def see_wake(self, subscription: str, told: dict[str, Any]) -> None:
        generation = told["generation"]
        known = self.wakes.setdefault((subscription, generation), told["wake_id"])
        assert known == told["wake_id"], f"{subscription}: generation {generation} is of two wakes"
        for each in told["streams"]:
            self.see(subscription, each["path"], each["acked_offset"])

    # Those who are woken

    async def receive(self, post: Post) -> Response:
        self.see_wake("hook", post.body)
        self.tries += 1
        match self.tries % 4:
            case 0:
                raise PeerUnreachable("reach", post.url, "connection refused")
            case 1:
                return Response(200, (), b'{"done": true}')
            case 2:
                return Response(500)
        acks = [{"stream": path, "offset": told["tail_offset"]} for path, told in post.streams.items()]
        call = {**{key: post.body[key] for key in ("wake_id", "generation")}, "acks": acks, "done": True}
        async with asyncio.timeout(ANSWER_S):
            response = await self.node()("POST", f"{HOOK}/callback", call, post.body["callback_token"])
        if response.status == 200:
            for ack in acks:
                self.see("hook", ack["stream"], ack["offset"])
        return Response(200)

    async def work(self) -> None:
        """A worker that claims when the wake stream says so, and then only."""
        while True:
            await asyncio.sleep(0.05)
            store = self.node().store
            told = len(records_of(store, WAKES))
            if told > self.events:
                self.events = told
                await self.claim()

    async def claim(self) -> None:
        claimed = await self.ask("POST", f"{POOL}/claim", {"worker": "w"})
        if claimed.status == 409:
            # An answer that was not heard: the claim is there, and nobody works on it until its lease is over.
            assert json.loads(claimed.body)["error"]["code"] in ("ALREADY_CLAIMED", "NO_PENDING_WORK")
            return
        told = json.loads(claimed.body)
        self.see_wake("pool", told)
        acks = [{"stream": each["path"], "offset": each["tail_offset"]} for each in told["streams"]]
        call = {"wake_id": told["wake_id"], "generation": told["generation"], "acks": acks, "done": True}
        acked = await self.ask("POST", f"{POOL}/ack", call, told["token"])
        if acked.status == 200:
            for ack in acks:
                self.see("pool", ack["stream"], ack["offset"])
        else:
            assert json.loads(acked.body)["error"]["code"] == "FENCED"

    # What is asked

    def look(self, subscription: str) -> dict[str, str]:
        """The cursors of a subscription, as they are on disk: who asks the node for them has it look as well."""
        store = self.node().store
        links = {stream.path: link for stream, link in names_of(links_of(store, f"own/{subscription}"))}
        cursors = {path: format_offset(links[path].acked if path in links else 0) for path in STREAMS}
        for path, offset in cursors.items():
            self.see(subscription, path, offset)
        return cursors

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(UNTIL_S):
            while not condition():
                await asyncio.sleep(0.2)


def put(path: str, n: int, tx: Transaction) -> None:
    """The n-th record, unless it is there."""
    stream = name(f"plant-a/{path}")
    if tx.open_stream(stream).next == n:
        tx.append(stream, [json.dumps({"n": n}).encode()])


async def subscriptions(crash: Crash) -> None:
    """Every record is worked on by those who wait to be woken, no cursor goes back, and no generation is given twice."""
    sim = crash.store("plant-a")
    outside = Outside(sim)
    await sim.insist(partial(put, STREAMS[0], 0))
    assert (await outside.ask("PUT", "wake/pool", b"[]")).status in (200, 201)
    common: dict[str, object] = {"pattern": "events/*", "lease_ttl_ms": 1000}
    hook = {"type": "webhook", "webhook": {"url": URL}, **common}
    assert (await outside.ask("PUT", HOOK, hook)).status in (200, 201)
    pool = {"type": "pull-wake", "wake_stream": "wake/pool", **common}
    assert (await outside.ask("PUT", POOL, pool)).status in (200, 201)
    worker = asyncio.get_running_loop().create_task(outside.work())
    for n in range(1, RECORDS):
        for path in STREAMS:
            await sim.insist(partial(put, path, n - (path != STREAMS[0])))
        await asyncio.sleep(0.3 * n)
    tails = {STREAMS[0]: format_offset(RECORDS), STREAMS[1]: format_offset(RECORDS - 1)}

    def all_done() -> bool:
        assert not worker.done(), worker.exception()
        return outside.look("hook") == tails and outside.look("pool") == tails

    await outside.until(all_done)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    assert (await outside.ask("DELETE", POOL)).status in (204, 404)
    assert (await outside.ask("GET", POOL)).status == 404
    assert outside.look("hook") == tails
    assert outside.process.failures == []
    await outside.process.stop()
    outside.node()
