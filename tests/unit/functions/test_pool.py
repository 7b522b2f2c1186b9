"""Transcripts: `>>` what the zygote reports, `<<` what it is told."""

import asyncio

import msgspec
import pytest

from littoral.core.limits import Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.messages import Command, Drain, Kill, Start, WorkerEvent
from littoral.functions.pool import STABLE_S, AppPool, restart_delay_ms
from littoral.testing.loop import run

APP = PlacedApp("shop", "r1", "/revision", "main.py")


class Zygote:
    """What was commanded, and a way to report."""

    def __init__(self, app: PlacedApp = APP, **limits: int) -> None:
        self.told: list[str] = []
        values = {name.replace("_", "-"): value for name, value in limits.items()}
        self.pool = AppPool(app, Limits(values), self._told, lambda app, slot: b"")

    def _told(self, command: Command) -> None:
        match command:
            case Start():
                self.told.append(f"start {command.slot} {command.revision}")
            case Drain():
                self.told.append(f"drain {command.pid}")
            case Kill():
                self.told.append(f"kill {command.pid}")

    def report(self, kind: str, pid: int, *, slot: int = 0, revision: str = "r1", detail: str = "") -> list[str]:
        """Report, and take what was commanded since the last time."""
        self.pool.event(WorkerEvent(kind, "shop", slot, revision, pid, detail))  # type: ignore[arg-type]
        return self.take()

    def take(self) -> list[str]:
        told, self.told = self.told, []
        return told


def test_a_worker_that_dies_is_started_again_at_once_and_then_ever_later() -> None:
    async def scenario() -> None:
        zygote = Zygote()
        zygote.pool.fill()
        assert zygote.take() == ["start 0 r1"]
        zygote.report("started", 10)
        zygote.report("ready", 10)
        assert zygote.pool.ready == 1
        for pid, delay_s in ((10, 0), (11, 0.05), (12, 0.1), (13, 0.2)):
            assert zygote.report("exited", pid, detail="signal 9") == []
            assert zygote.pool.ready == 0
            await asyncio.sleep(delay_s + 0.001)
            assert zygote.take() == ["start 0 r1"]
            zygote.report("started", pid + 1)
            zygote.report("ready", pid + 1)
        await asyncio.sleep(STABLE_S)
        zygote.report("exited", 14)
        await asyncio.sleep(0.001)
        assert zygote.take() == ["start 0 r1"], "it had run for long: its failures are forgotten"
        assert zygote.pool.counters.ends["crash"] == 5

    run(scenario)


def test_a_new_revision_takes_over_before_the_old_one_drains() -> None:
    async def scenario() -> None:
        zygote = Zygote()
        zygote.pool.fill()
        zygote.report("started", 10)
        zygote.report("ready", 10)
        zygote.take()
        zygote.pool.update(msgspec.structs.replace(APP, revision="r2"))
        assert zygote.take() == ["start 0 r2"]
        zygote.report("started", 11, revision="r2")
        assert zygote.pool.pids == [10]
        assert zygote.report("ready", 11, revision="r2") == ["drain 10"]
        assert zygote.pool.pids == [11]
        assert not zygote.pool.settled
        await asyncio.sleep(60)
        assert zygote.take() == ["kill 10"], "it did not leave in time"
        zygote.report("exited", 10)
        assert zygote.pool.settled
        assert zygote.pool.counters.ends == {"replaced": 1}

    run(scenario)


def test_an_import_that_does_not_end_is_killed() -> None:
    async def scenario() -> None:
        zygote = Zygote(function_start_ms=500)
        zygote.pool.fill()
        zygote.report("started", 10)
        await asyncio.sleep(0.6)
        assert zygote.take() == ["kill 10"]
        zygote.report("exited", 10, detail="signal 9")
        assert zygote.pool.counters.ends == {"start-timeout": 1}
        assert zygote.pool.counters.last_failure == "the import did not end within 500 ms"
        zygote.pool.forget()

    run(scenario)


def test_workers_there_are_already_are_taken_over() -> None:
    async def scenario() -> None:
        zygote = Zygote(msgspec.structs.replace(APP, workers=2))
        assert zygote.pool.adopt(0, "r1", 10)
        assert not zygote.pool.adopt(0, "r1", 11), "the slot is taken"
        assert not zygote.pool.adopt(7, "r1", 12), "there is no such slot"
        zygote.pool.fill()
        assert zygote.take() == ["start 1 r1"]
        zygote.pool.forget()

    run(scenario)


def test_one_that_was_draining_may_finish_and_takes_no_place() -> None:
    async def scenario() -> None:
        zygote = Zygote()
        assert zygote.pool.adopt_leaving(0, "r0", 10)
        assert zygote.pool.adopt(0, "r1", 11)
        zygote.pool.fill()
        assert (zygote.take(), zygote.pool.pids) == ([], [11])
        await asyncio.sleep((APP.wall_ms + 1000) / 1000)
        assert zygote.take() == ["kill 10"], "it had its time"
        zygote.report("exited", 10, revision="r0")
        assert zygote.pool.settled
        assert not zygote.pool.adopt_leaving(5, "r0", 12)

    run(scenario)


def test_a_start_that_the_zygote_is_late_with_is_watched_on() -> None:
    async def scenario() -> None:
        zygote = Zygote(function_start_ms=500)
        zygote.pool.fill()
        await asyncio.sleep(0.6)
        assert zygote.take() == ["start 0 r1"]
        zygote.report("started", 10)
        await asyncio.sleep(0.6)
        assert zygote.take() == ["kill 10"]

    run(scenario)


def test_fewer_workers_and_none_at_all() -> None:
    async def scenario() -> None:
        zygote = Zygote(msgspec.structs.replace(APP, workers=2))
        zygote.pool.adopt(0, "r1", 10)
        zygote.pool.adopt(1, "r1", 11)
        zygote.pool.update(APP)
        assert zygote.take() == ["kill 11"]
        assert zygote.report("exited", 11, slot=1, detail="signal 9") == []
        assert zygote.report("started", 12, slot=1) == ["kill 12"], "it was ordered before"
        zygote.pool.stop()
        assert zygote.take() == ["kill 10"]

    run(scenario)


def test_only_its_own_workers_are_killed() -> None:
    async def scenario() -> None:
        zygote = Zygote()
        zygote.pool.adopt(0, "r1", 10)
        zygote.pool.kill(99, "timeout")
        assert zygote.take() == []
        zygote.pool.kill(10, "timeout")
        assert zygote.take() == ["kill 10"]
        zygote.report("exited", 10, detail="signal 9")
        assert zygote.pool.counters.ends == {"timeout": 1}
        zygote.pool.forget()

    run(scenario)


@pytest.mark.parametrize(
    ("failures", "delay_ms"), [(0, 0), (1, 0), (2, 50), (3, 100), (8, 3200), (9, 5000), (99, 5000)]
)
def test_the_delay_doubles_up_to_its_cap(failures: int, delay_ms: int) -> None:
    assert restart_delay_ms(failures, Limits()) == delay_ms
