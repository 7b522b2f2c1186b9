"""What is older than it is worth is not sent, and is read here as before."""

import asyncio
from collections import Counter
from typing import ClassVar

import pytest

from littoral.core.lanes import Lane
from littoral.core.names import StreamName
from littoral.core.resources.model import StreamTtl, Ttl
from littoral.store.stream import StreamInfo
from littoral.store.tail import Aged
from littoral.streams.outbox import LOOK_BATCHES
from littoral.streams.ttl import SendTtl
from littoral.testing.loop import run
from tests.support.neighbours import Neighbours
from tests.support.stores import SimStore, name, records_of

S, RAW, ALERTS, KV = (name(f"plant-a/{path}") for path in ("windows", "raw/x", "alerts", "kv/ns"))


class Aging(Neighbours):
    ttl: ClassVar[Ttl] = Ttl(telemetry="1h", streams=[StreamTtl(streams=["*/raw/*"], ttl="10s")])


@pytest.mark.parametrize(
    ("path", "lane", "ttl_ms"),
    [
        ("windows", "telemetry", 3_600_000),
        ("raw/x", "telemetry", 10_000),
        ("raw/x", "alerts", 10_000),
        ("alerts", "alerts", None),
        ("kv/ns", "telemetry", None),
        ("desired", "telemetry", None),
    ],
)
def test_the_first_entry_that_matches_counts_and_then_the_lane(path, lane, ttl_ms):
    async def main() -> None:
        store = SimStore().open()
        info = await store.submit(lambda tx: tx.open_stream(name(f"plant-a/{path}"), lane=lane))
        oldest_ms = SendTtl(Aging.ttl, lambda: 100_000_000).oldest_ms(info)
        assert oldest_ms == (None if ttl_ms is None else 100_000_000 - ttl_ms)

    run(main)


def test_what_waited_too_long_is_stepped_over_and_the_parent_counts_it(seed):
    async def main() -> None:
        both = Aging(seed)
        lanes: dict[StreamName, Lane] = {S: "telemetry", RAW: "telemetry", ALERTS: "alerts"}
        for stream, lane in lanes.items():
            for n in range(3):
                await both.append(both.child, stream, b"old %d" % n, lane=lane)
        await asyncio.sleep(60)
        assert both.uplink.outbox.depth("telemetry").records == 3, "what is too old does not wait"
        await both.append(both.child, RAW, b"new")
        both.start()
        await both.until(lambda: both.at_parent(RAW) and both.at_parent(S) and both.at_parent(ALERTS))
        assert both.at_parent(RAW) == [b"new"]
        assert len(both.at_parent(S)) == len(both.at_parent(ALERTS)) == 3
        assert both.server.lost_records == 3
        assert both.uplink.outbox.expired["telemetry"] == 3
        assert len(records_of(both.child, RAW)) == 4, "it is read here as before"
        await both.append(both.child, RAW, b"newer")
        await both.until(lambda: both.at_parent(RAW) == [b"new", b"newer"])
        assert both.uplink.outbox.expired["telemetry"] == 3
        await both.stop()

    run(main, seed)


def test_much_that_waited_too_long_is_stepped_over_without_holding_up_the_node(seed, monkeypatch):
    async def main() -> None:
        both = Aging(seed, batch_records=1)
        count = LOOK_BATCHES * 5 // 2
        await both.append(both.child, RAW, *(b"old" for _ in range(count)))
        await asyncio.sleep(60)
        await both.append(both.child, RAW, b"new")
        first_since = both.child.first_since
        turns = 0
        looks = Counter[int]()

        def another_turn() -> None:
            nonlocal turns
            turns += 1

        def noted(info: StreamInfo, offset: int, since_ms: int, most: int) -> Aged:
            aged = first_since(info, offset, since_ms, most)
            looks[turns] += aged.next - offset
            asyncio.get_running_loop().call_soon(another_turn)  # as all else on the node has it
            return aged

        monkeypatch.setattr(both.child, "first_since", noted)
        both.start()
        await both.until(lambda: both.at_parent(RAW) == [b"new"])
        assert sum(looks.values()) >= count
        assert max(looks.values()) <= LOOK_BATCHES
        await both.stop()

    run(main, seed)


def test_key_value_goes_up_at_any_age(seed):
    class Strict(Neighbours):
        ttl: ClassVar[Ttl] = Ttl(state="1s", streams=[StreamTtl(streams=["*"], ttl="1s")])

    async def main() -> None:
        both = Strict(seed)
        await both.child.submit(lambda tx: tx.kv_put("ns", "k", b"v"))
        await asyncio.sleep(3600)
        both.start()
        await both.until(lambda: both.at_parent(KV))
        await both.stop()

    run(main, seed)
