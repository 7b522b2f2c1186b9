"""Transcripts: `>>` what the zygote reports, `<<` what it is told."""

import asyncio

import msgspec
import pytest

from littoral.core.function_limits import FUNCTION_DRAIN_S, FUNCTION_GRACE_MS
from littoral.core.limits import Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.hub.pool import STABLE_S, AppPool, restart_delay_ms
from littoral.functions.messages import Command, Drain, Kill, Start, WorkerEvent
from littoral.testing.loop import run

APP = PlacedApp("shop", "r1", "/revision", "main.py")


class Zygote:
    """What was commanded, and a way to report."""

    def __init__(self, app: PlacedApp = APP, **limits: int) -> None:
        self.told: list[str] = []
        self.specs: list[str] = []
        values = {name.replace("_", "-"): value for name, value in limits.items()}
        self.changes: list[str] = []
        self.pool = AppPool(app, Limits(values), self)

    def spec(self, app: PlacedApp, slot: int) -> bytes:
        self.specs.append(f"{app.name} {slot} {app.wall_ms}")
        return b""

    def close_slot(self, app: PlacedApp, slot: int) -> None:
        self.told.append(f"close {slot}")

    def changed(self, pool: AppPool) -> None:
        self.changes.append(f"{pool.ready_slots} {'fails' if pool.is_failing else ''}".rstrip())

    def give(self, app: PlacedApp, command: Command, *, urgent: bool = False) -> None:
        match command:
            case Start():
                self.told.append(f"start {command.slot} {command.revision}" + (" urgently" if urgent else ""))
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


def test_what_workers_are_told_is_put_together_once_for_each_slot_as_long_as_their_app_stays_what_it_is() -> None:
    async def scenario() -> None:
        app = msgspec.structs.replace(APP, workers=2, min_workers=2)
        zygote = Zygote(app)
        zygote.pool.update(app)
        for pid in (10, 11):
            zygote.take()
            zygote.report("started", pid)
            zygote.report("exited", pid)
            await asyncio.sleep(1)
            assert zygote.take() == ["start 0 r1"]
            zygote.pool.update(msgspec.structs.replace(app))
        assert zygote.specs == ["shop 0 10000", "shop 1 10000"]
        zygote.pool.update(msgspec.structs.replace(app, wall_ms=1))
        zygote.report("started", 12)
        zygote.report("exited", 12)
        await asyncio.sleep(1)
        assert zygote.specs[2:] == ["shop 0 1"]

    run(scenario)


def test_a_worker_that_dies_is_started_again_at_once_and_then_ever_later() -> None:
    async def scenario() -> None:
        zygote = Zygote()
        zygote.pool.update(zygote.pool.app)
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
        zygote.pool.update(zygote.pool.app)
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
        await asyncio.sleep(FUNCTION_DRAIN_S.default)
        assert zygote.take() == [], "it may stream for so long"
        await asyncio.sleep(FUNCTION_DRAIN_S.default + (APP.wall_ms + 1000) / 1000)
        assert zygote.take() == ["kill 10"], "it did not leave in time"
        zygote.report("exited", 10)
        assert zygote.pool.settled
        assert zygote.pool.counters.ends == {"replaced": 1}

    run(scenario)


def test_an_import_that_does_not_end_is_killed() -> None:
    async def scenario() -> None:
        zygote = Zygote(function_start_ms=500)
        zygote.pool.update(zygote.pool.app)
        zygote.report("started", 10)
        await asyncio.sleep(0.6)
        assert zygote.take() == ["kill 10"]
        zygote.report("failed", 10, detail="it died while it started")
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
        zygote.pool.update(zygote.pool.app)
        assert zygote.take() == [], "one is enough while nobody asks for more"
        zygote.pool.want(17)
        assert zygote.take() == ["start 1 r1 urgently"]
        zygote.pool.forget()

    run(scenario)


def test_one_that_was_draining_may_finish_and_takes_no_place() -> None:
    async def scenario() -> None:
        zygote = Zygote()
        zygote.pool.adopt_leaving("r0", 10)
        assert zygote.pool.adopt(0, "r1", 11)
        zygote.pool.update(zygote.pool.app)
        assert (zygote.take(), zygote.pool.pids) == ([], [11])
        await asyncio.sleep(FUNCTION_DRAIN_S.default + (APP.wall_ms + 1000) / 1000)
        assert zygote.take() == ["kill 10"], "it had its time"
        zygote.report("exited", 10, revision="r0")
        assert zygote.pool.settled

    run(scenario)


def test_a_start_that_the_zygote_is_late_with_is_watched_on() -> None:
    async def scenario() -> None:
        zygote = Zygote(function_start_ms=500)
        zygote.pool.update(zygote.pool.app)
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
        assert zygote.take() == ["close 1", "drain 11"]
        assert zygote.report("exited", 11, slot=1, detail="exit 0") == []
        assert zygote.report("started", 12, slot=1) == ["kill 12"], "it was ordered before"
        zygote.pool.forget()

    run(scenario)


def test_workers_of_an_app_that_is_taken_away_finish_what_they_have_begun() -> None:
    async def scenario() -> None:
        zygote = Zygote()
        zygote.pool.adopt(0, "r1", 10)
        zygote.pool.update(msgspec.structs.replace(APP, revision="r2"))
        zygote.take()
        zygote.report("started", 11, revision="r2")
        zygote.pool.part()
        assert zygote.take() == ["close 0", "drain 10", "kill 11"]
        assert zygote.pool.is_leaving
        assert "r1" in zygote.pool.revisions, "its code is to stay"
        assert zygote.report("exited", 11, revision="r2", detail="signal 9") == []
        assert zygote.report("exited", 10, detail="exit 0") == []
        assert (zygote.pool.is_leaving, zygote.pool.counters.ends["stopped"]) == (False, 1)

    run(scenario)


def test_an_app_that_comes_back_meanwhile_is_started_anew_and_the_others_still_finish() -> None:
    async def scenario() -> None:
        zygote = Zygote()
        zygote.pool.adopt(0, "r1", 10)
        zygote.pool.part()
        zygote.take()
        zygote.pool.update(APP)
        assert zygote.take() == ["start 0 r1"]
        zygote.report("started", 12)
        assert zygote.report("ready", 12) == []
        assert (zygote.pool.pids, zygote.pool.is_leaving) == ([12], True)
        assert zygote.report("exited", 10, detail="exit 0") == []
        assert (zygote.pool.pids, zygote.pool.is_leaving) == ([12], False)
        zygote.pool.forget()

    run(scenario)


def test_what_an_app_that_is_taken_away_does_not_end_is_killed() -> None:
    async def scenario() -> None:
        zygote = Zygote(msgspec.structs.replace(APP, wall_ms=1000))
        zygote.pool.adopt(0, "r1", 10)
        zygote.pool.part()
        zygote.take()
        await asyncio.sleep(FUNCTION_DRAIN_S.default + 1 + FUNCTION_GRACE_MS.default / 1000 + 0.1)
        assert zygote.take() == ["kill 10"]
        zygote.pool.forget()

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
    assert restart_delay_ms(failures, 5000) == delay_ms


def test_a_worker_nobody_needs_goes_and_comes_back_when_somebody_asks() -> None:
    async def scenario() -> None:
        zygote = Zygote(msgspec.structs.replace(APP, idle_s=60))
        zygote.pool.update(zygote.pool.app)
        assert zygote.take() == ["start 0 r1"], "what nobody has asked for is tried once"
        zygote.report("started", 10)
        zygote.report("ready", 10)
        await asyncio.sleep(50)
        zygote.pool.want(1)
        await asyncio.sleep(50)
        zygote.pool.shrink()
        assert zygote.take() == [], "it was asked for less than its idle time ago"
        await asyncio.sleep(11)
        zygote.pool.shrink()
        assert zygote.take() == ["close 0", "drain 10"], "nobody connects to it any more before it is told to leave"
        assert zygote.report("exited", 10, detail="exit 0") == []
        assert zygote.pool.counters.ends == {"idle": 1}
        zygote.pool.update(zygote.pool.app)
        assert zygote.take() == [], "the revision was tried"
        zygote.pool.want(1)
        assert zygote.take() == ["start 0 r1 urgently"]
        zygote.pool.want(1)
        assert zygote.take() == []
        assert zygote.pool.counters.cold == 1
        zygote.pool.forget()

    run(scenario)


def test_more_requests_have_more_workers_up_to_the_most_and_each_goes_in_its_own_time() -> None:
    async def scenario() -> None:
        zygote = Zygote(msgspec.structs.replace(APP, workers=3, idle_s=60), function_busy=10)
        for slot in range(3):
            assert zygote.pool.adopt(slot, "r1", 10 + slot)
        zygote.pool.kill(12, "stopped")
        zygote.report("exited", 12, slot=2, detail="signal 9")
        zygote.take()
        await asyncio.sleep(0.01)
        zygote.take()
        await asyncio.sleep(30)
        zygote.pool.want(11)
        await asyncio.sleep(31)
        zygote.pool.shrink()
        assert zygote.take() == []
        assert zygote.pool.ready_slots == [0, 1], "eleven requests are for two workers"
        zygote.pool.want(10)
        await asyncio.sleep(31)
        zygote.pool.shrink()
        assert zygote.take() == ["close 1", "drain 11"], "ten are for one"
        zygote.pool.want(1000)
        assert zygote.take() == ["start 1 r1 urgently"], "the third is on its way since it died; there are no more"
        zygote.pool.forget()

    run(scenario)


def test_workers_an_app_always_has_stay_when_it_rests() -> None:
    async def scenario() -> None:
        zygote = Zygote(msgspec.structs.replace(APP, workers=2, min_workers=1))
        for slot in range(2):
            zygote.pool.adopt(slot, "r1", 10 + slot)
        zygote.pool.rest()
        assert zygote.take() == ["close 1", "drain 11"]
        await asyncio.sleep(10 * APP.idle_s)
        zygote.pool.shrink()
        assert zygote.pool.pids == [10]
        zygote.report("exited", 10, detail="signal 9")
        await asyncio.sleep(0.001)
        assert zygote.take()[-1] == "start 0 r1"
        zygote.pool.forget()

    run(scenario)


def test_a_revision_that_fails_is_tried_ever_more_seldom_and_never_replaces_the_one_that_runs() -> None:
    async def scenario() -> None:
        zygote = Zygote()
        zygote.pool.adopt(0, "r1", 10)
        zygote.pool.update(msgspec.structs.replace(APP, revision="r2"))
        delays, since = [], asyncio.get_running_loop().time()
        for pid in range(11, 26):
            while not zygote.take():
                zygote.pool.want(1)
                await asyncio.sleep(0.01)
            now = asyncio.get_running_loop().time()
            delays.append(round(now - since, 1))
            since = now
            zygote.report("started", pid, revision="r2")
            zygote.report("failed", pid, revision="r2", detail="cannot import main.py: ValueError: 4")
            zygote.report("exited", pid, revision="r2", detail="exit 3")
        assert delays[-1] == 60.0
        assert (zygote.pool.pids, zygote.pool.revision) == ([10], "r1")
        assert zygote.pool.counters.last_failure == "cannot import main.py: ValueError: 4"
        assert not zygote.pool.is_failing, "there is one that answers"
        zygote.pool.update(msgspec.structs.replace(APP, revision="r3"))
        assert zygote.take() == ["start 0 r3"], "another revision need not wait for the failures of this one"
        zygote.pool.forget()

    run(scenario)


def test_gateways_hear_of_workers_and_that_there_can_be_none() -> None:
    async def scenario() -> None:
        zygote = Zygote()
        zygote.pool.update(zygote.pool.app)
        zygote.report("started", 10)
        zygote.report("failed", 10, detail="no")
        zygote.report("exited", 10, detail="exit 3")
        assert zygote.changes == ["[] fails"]
        await asyncio.sleep(1)
        zygote.report("started", 11)
        zygote.report("ready", 11)
        assert zygote.changes == ["[] fails", "[0]"]
        zygote.pool.forget()

    run(scenario)
