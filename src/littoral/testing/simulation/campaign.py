"""Many seeds, on all cores: how often each fault took place and each way back was taken, and which seeds failed.

A run that did too little to say anything does not count, and another seed is run in its place. A campaign that is large
enough fails too if a kind of fault, or a way back, was never seen: what is never tried is not shown to work.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from littoral.testing.simulation.draw import draw_plan
from littoral.testing.simulation.faults import FAULTS
from littoral.testing.simulation.orders import Order
from littoral.testing.simulation.processes import Processes
from littoral.testing.simulation.run import Outcome

SPARE_RUNS = 0.05
"""Part of the runs that may not count before the campaign gives up replacing them."""
SPARE_RUNS_LEAST = 5
"""Of a small campaign as many: about three in a hundred runs do too little, and two of twenty one time in eight."""
COVERING_RUNS = 200
"""From how many runs on each kind of fault and each way back must have been seen."""

EXPECTED_RECOVERIES = (
    "node started again",
    "session begun again",
    "bootstrap from a snapshot",
    "batch: append",
    "batch: duplicate",
    "append recognised as a duplicate",
    "reading sent again",
    "reading recognised as a duplicate",
    "client asked again: no answer",
    "client asked again: StorageFull",
    "client asked again: StorageReadOnly",
    "client asked again: StorageError",
    "tombstones forgotten",
    "late write refused",
    "key-value said again",
    "certificate renewed",
    "node moved to another parent",
    "store restored from a backup",
    "rot found",
    "store given another key",
    "taken by a budget",
    "append refused by a budget",
    "byte spilled",
    "record too old to be sent",
)


class Tally(msgspec.Struct):
    """A campaign so far."""

    runs: int = 0
    """Those that count, and those that failed."""
    too_little: int = 0
    """Runs that did not count."""
    acknowledged: int = 0
    hits: Counter[str] = msgspec.field(default_factory=Counter)
    recoveries: Counter[str] = msgspec.field(default_factory=Counter)
    failed: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """Take in one run."""
        self.hits.update(outcome.hits)
        self.recoveries.update(outcome.recoveries)
        self.acknowledged += outcome.acknowledged
        if outcome.violation is not None:
            self.failed.append(outcome)
        if outcome.violation is None and not outcome.counts:
            self.too_little += 1
        else:
            self.runs += 1

    def never(self) -> list[str]:
        """What was never seen, of what must be, if the campaign is large enough for that to mean anything."""
        if self.runs < COVERING_RUNS:
            return []
        kinds = [f"fault: {kind}" for kind in FAULTS if not self.hits[kind]]
        return kinds + [f"way back: {name}" for name in EXPECTED_RECOVERIES if not self.recoveries[name]]

    @property
    def passed(self) -> bool:
        """Whether nothing is to be said against it."""
        return not self.failed and not self.never()


class Campaign(msgspec.Struct, frozen=True):
    """What to run."""

    first_seed: int
    runs: int
    nodes: int = 8
    hours: float = 1.0
    jobs: int = 1
    """Processes at once."""
    extensions: tuple[Path, ...] = ()
    """See extension.py; loaded here already."""

    def run(self, done: Callable[[Outcome, Tally], None] = lambda outcome, tally: None) -> Tally:
        """Run all. done: told after each run."""
        tally = Tally()
        with Processes(self.jobs, self.extensions) as processes:
            for answer in processes.each(self._orders()):
                tally.add(answer.outcome)
                done(answer.outcome, tally)
                if tally.runs >= self.runs:
                    break
        return tally

    def _orders(self) -> Iterator[Order]:
        most = self.runs + max(SPARE_RUNS_LEAST, int(self.runs * SPARE_RUNS))
        for seed in range(self.first_seed, self.first_seed + most):
            yield Order(draw_plan(seed, self.nodes, self.hours))
