import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from littoral.core.tasks import Tasks
from littoral.functions.hub.pool import AppPool
from littoral.functions.hub.pool_counters import PoolCounters
from littoral.functions.meters import FunctionMeter
from littoral.gateway.meters import Meters
from littoral.node.app_figures import MEMORY_S, METRICS_US, FiguresDesk
from littoral.node.control_messages import GatewayReport
from littoral.telemetry.metrics import Family, Histogram
from tests.support.fakes import FakeClock


def pool(*pids: int) -> AppPool:
    counters = PoolCounters(starts=3, cold=1, ends=Counter({"idle": 2}))
    fields = {"ready": len(pids), "starting": 1, "pids": list(pids), "counters": counters, "revision": "r1+abc"}
    return cast("AppPool", SimpleNamespace(**fields))


class Desk:
    """Of two apps, one of which has two workers; and how often memory was looked at."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.sizes: dict[int, int | None] = {1: 1000, 2: 500}
        self.looks = 0
        self.pools: dict[str, AppPool] = {"shop": pool(1, 2), "idle": pool()}
        self.faults: list[BaseException] = []
        by_hub = {"shop": {"r1": FunctionMeter(calls=2)}}
        self.desk = FiguresDesk(
            lambda: self.pools, lambda: by_hub, self.clock, self.offload, self.sizes.get, Tasks(self.faults.append)
        )

    async def offload(self, act: Callable[..., Any], pids: Mapping[str, Any], memory_of: Any) -> Any:
        self.looks += 1
        return act(pids, memory_of)


def test_calls_of_gateways_and_of_the_hub_are_counted_together_beside_what_the_pool_knows() -> None:
    async def scenario() -> None:
        stage = Desk()
        stage.desk.take(GatewayReport(0, 7, Meters(), {"shop": {"r1": FunctionMeter(calls=5)}}))
        figures = await stage.desk.fresh()
        shop = figures["shop"]
        assert (shop.total().calls, shop.workers, shop.starting, shop.starts, shop.cold) == (7, 2, 1, 3, 1)
        assert (shop.ends, shop.memory_bytes) == ({"idle": 2}, 1500)
        assert (figures["idle"].memory_bytes, figures["idle"].revisions) == (0, {}), "who has no worker takes nothing"
        assert shop.at_ms == stage.clock.wall_ms()
        del stage.pools["shop"]
        assert list(stage.desk.now()) == ["idle"]
        assert not stage.faults

    asyncio.run(scenario())


def test_memory_is_looked_at_only_when_somebody_asks_and_not_more_often_than_it_may() -> None:
    async def scenario() -> None:
        stage = Desk()
        await stage.desk.fresh()
        stage.sizes[1] = 9000
        assert (await stage.desk.fresh())["shop"].memory_bytes == 1500
        assert stage.looks == 1
        stage.clock.advance(seconds=MEMORY_S)
        assert (await stage.desk.fresh())["shop"].memory_bytes == 9500
        stage.sizes.clear()
        stage.clock.advance(seconds=MEMORY_S)
        assert (await stage.desk.fresh())["shop"].memory_bytes is None, "where the kernel does not say"
        assert stage.looks == 3

    asyncio.run(scenario())


def test_metrics_have_fewer_buckets_with_the_same_values_in_them() -> None:
    async def scenario() -> None:
        stage = Desk()
        meter = FunctionMeter()
        for took_us in (100, 240, 260, 3000, 40_000_000):
            meter.answered(took_us)
            meter.computed(50)
        meter.failed("exception")
        stage.desk.take(GatewayReport(0, 7, Meters(), {"shop": {"r0": meter}}))
        found = {each.name: each for each in stage.desk.families() if dict(_labels(each)).get("revision") == "r0"}
        histogram = found["littoral_function_duration_seconds"]
        assert isinstance(histogram, Histogram)
        assert histogram.bounds_s[:3] == [0.00025, 0.0005, 0.001]
        assert (len(histogram.counts), sum(histogram.counts)) == (len(METRICS_US) + 1, 5)
        assert (histogram.counts[0], histogram.counts[1], histogram.counts[-1]) == (2, 1, 1)
        errors = found["littoral_function_errors"]
        assert isinstance(errors, Family)
        assert errors.samples[0].labels == {"app": "shop", "revision": "r0", "error": "exception"}

    asyncio.run(scenario())


def _labels(family: Family | Histogram) -> dict[str, str]:
    if isinstance(family, Histogram):
        return family.labels
    return family.samples[0].labels if family.samples else {}
