"""One run: do what a plan says, heal everything, wait until nothing waits any more, and check what was promised."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec

from littoral.testing.loop import SimulationError, run
from littoral.testing.simulation.checks import CHECKS, settled
from littoral.testing.simulation.draw import LEAST_ACKNOWLEDGED, LEAST_FAULTS
from littoral.testing.simulation.faults import FAULTS, befall
from littoral.testing.simulation.history import TREE, History, Step
from littoral.testing.simulation.plan import Plan
from littoral.testing.simulation.pouring import lift_budgets
from littoral.testing.simulation.work import WORK, deploy
from littoral.testing.simulation.world import Violation, World

SETTLE_S = 1200.0
"""Virtual seconds after the last fault by which all queues must be empty. The longest backoff is 30 s, and what was cut
in silence is noticed after 15 s."""
QUIET_S = 5.0
"""What would arrive a second time has arrived by then."""


class Outcome(msgspec.Struct):
    """What became of a run."""

    plan: Plan
    violation: tuple[str, str] | None
    """Which promise was broken, and what was seen; None where all were kept."""
    acknowledged: int
    """Records, readings and writes that clients were promised."""
    hits: dict[str, int]
    """Faults that took place, by kind."""
    recoveries: dict[str, int]
    """Ways back that were taken."""
    lasted_s: float
    """Virtual seconds."""
    digest: str
    """SHA-256 of the event log."""

    @property
    def counts(self) -> bool:
        """Whether enough was done for the run to say something."""
        return self.acknowledged >= LEAST_ACKNOWLEDGED and sum(self.hits.values()) >= LEAST_FAULTS


def simulate(plan: Plan, *, whole: bool = True, record: bool = False) -> tuple[Outcome, History]:
    """Do a run. whole: go on for all of `plan.hours`; otherwise end once all is checked. record: write also every message
    into the history."""
    # Nothing here holds on to the world, or a failure's frames, so that it can be collected with the run's garbage.
    summaries: list[_Summary] = []
    violation: tuple[str, str] | None = None

    async def main() -> None:
        world = World(plan, record=record)
        summaries.append(_Summary(world))
        try:
            await _play(world, whole=whole)
            await world.stop()
        finally:
            summaries[0].close(world)

    try:
        with _quiet():
            run(main, plan.seed)
    except Violation as found:
        violation = found.check, found.text
    except (SimulationError, Exception) as error:  # noqa: BLE001 -- whatever ends a run is a finding
        violation = "no unexpected error", f"{type(error).__name__}: {error}"
    return summaries[0].outcome(plan, violation)


class _Summary:
    """What is left of a world."""

    def __init__(self, world: World) -> None:
        self._history = world.history
        self._hits, self._recoveries = world.hits, world.recoveries
        self._acknowledged = 0
        self._lasted_s = 0.0

    def close(self, world: World) -> None:
        """The run is over."""
        self._acknowledged = world.ledger.acknowledged_records
        self._lasted_s = world.now_s

    def outcome(self, plan: Plan, violation: tuple[str, str] | None) -> tuple[Outcome, History]:
        """With the violation as the last step of the history."""
        history = self._history
        if violation is not None:
            history.records.append(Step(self._lasted_s, TREE, "violation", ": ".join(violation)))
        outcome = Outcome(
            plan,
            violation,
            self._acknowledged,
            dict(self._hits),
            dict(self._recoveries),
            self._lasted_s,
            history.digest(),
        )
        return outcome, history


@contextmanager
def _quiet() -> Iterator[None]:
    """Nodes warn of the faults they meet; here they are meant to meet them."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(disabled)


async def _play(world: World, *, whole: bool) -> None:
    plan = world.plan
    world.switch_on()
    world.work(deploy(world), "deploy")
    faults = []
    for event in plan.events:
        await world.until_s(event.at_s)
        if event.kind in FAULTS:
            faults.append(world.start(befall(world, event), f"fault {event.number}"))
        else:
            world.work(WORK[event.kind].do(world, event), f"work {event.number}")
    await world.until_s(plan.quiet_s)
    # The last of them end in this very moment, and perhaps after this.
    await asyncio.gather(*faults, return_exceptions=True)
    world.release()
    world.work(lift_budgets(world), "lift budgets")
    world.note(TREE, "healed", "no more faults from here on")
    for _ in range(2):
        await world.until(partial(settled, world), SETTLE_S, "nothing wedges")
        await asyncio.sleep(QUIET_S)
    for check in CHECKS.values():
        check(world)
    world.count_recoveries()
    world.note(TREE, "check", f"{world.ledger.acknowledged_records} acknowledged records are where they should be")
    if whole:
        await world.until_s(plan.hours * 3600)
