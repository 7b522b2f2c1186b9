"""What it costs to look for key-value writes that the parent can no longer be sent. What is said again, and when, is in
test_uplink."""

from littoral.store.transaction import Transaction
from littoral.streams.kv_again import KvAgain
from littoral.streams.outbox import Outbox
from littoral.testing.loop import run
from tests.support.counting import calls
from tests.support.stores import SimStore, name


def test_an_answered_frame_costs_the_same_however_many_streams_there_are() -> None:
    async def cost(streams: int) -> int:
        sim = SimStore()
        store = sim.open()

        def put(tx: Transaction) -> None:
            tx.kv_put("lines", "k", b"v")
            for n in range(streams):
                tx.open_stream(name(f"plant-a/s{n}"))

        await store.submit(put)
        turn = KvAgain(store, Outbox(store, "eu"), sim.limits, lambda: None).run()
        count = calls(lambda: turn.send(None))
        turn.close()
        await sim.close()
        return count

    async def main() -> None:
        assert await cost(5) == await cost(500)

    run(main)
