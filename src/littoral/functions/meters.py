"""What is counted of an app's calls, where they are made: at each gateway, and at the hub for events. Plain integers, bumped on
every call and read once a second."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from littoral.functions.messages import AnswerError

_STEPS = (100, 125, 160, 200, 250, 315, 400, 500, 630, 800)
"""Of one decade: Renard's R10, so that what is between two of them is known to an eighth."""
BOUNDS_US = (*(step * decade for decade in (1, 10, 100, 1000, 10_000) for step in _STEPS), 10_000_000, 30_000_000)
"""Upper bounds of the histograms; one more bucket holds what takes longer."""
REVISIONS_MOST = 4
"""Of an app, counted each for itself. What is counted of the oldest goes to those without a name when there is one more."""
UNKNOWN = ""
"""The revision of calls that no worker had, and of all former ones."""

Failure = Literal[AnswerError, "died", "gone", "no-worker"]
"""A worker's word; or: it died, the client went away, there was no worker to be had."""


def _empty() -> list[int]:
    return [0] * (len(BOUNDS_US) + 1)


class FunctionMeter(Struct):
    """The calls of one revision of an app."""

    calls: int = 0
    """That have ended, or whose answer has begun: requests and events."""
    errors: dict[Failure, int] = {}
    """Calls that failed, by why; of answers that broke off, too."""
    wall: list[int] = field(default_factory=_empty)
    """Calls by how long it took until the answer began, in buckets; with the time that they waited for a worker."""
    wall_us: int = 0
    """In all."""
    cpu: list[int] = field(default_factory=_empty)
    """Answers by the CPU time that they took in the worker; those that are streamed once they have ended."""
    cpu_us: int = 0
    waited: int = 0
    """Calls that had to wait for a worker to start."""
    waited_us: int = 0

    def answered(self, wall_us: int) -> None:
        """A worker answered, with whatever it was, or began to."""
        self.calls += 1
        self.wall[bisect_left(BOUNDS_US, wall_us)] += 1
        self.wall_us += wall_us

    def computed(self, cpu_us: int) -> None:
        """What an answer took is known."""
        self.cpu[bisect_left(BOUNDS_US, cpu_us)] += 1
        self.cpu_us += cpu_us

    def ended(self, wall_us: int, why: Failure) -> None:
        """There was no answer."""
        self.calls += 1
        self.wall[bisect_left(BOUNDS_US, wall_us)] += 1
        self.wall_us += wall_us
        self.failed(why)

    def failed(self, why: Failure) -> None:
        """An answer was no good."""
        self.errors[why] = self.errors.get(why, 0) + 1

    def add(self, other: "FunctionMeter") -> None:
        """Count what was counted elsewhere, too."""
        self.calls += other.calls
        for why, count in other.errors.items():
            self.errors[why] = self.errors.get(why, 0) + count
        self.wall = [a + b for a, b in zip(self.wall, other.wall, strict=True)]
        self.wall_us += other.wall_us
        self.cpu = [a + b for a, b in zip(self.cpu, other.cpu, strict=True)]
        self.cpu_us += other.cpu_us
        self.waited += other.waited
        self.waited_us += other.waited_us


Revisions = dict[str, FunctionMeter]
"""What is counted of an app, by revision, the oldest first."""


def meter_of(revisions: Revisions, revision: str) -> FunctionMeter:
    """The meter of a revision, which is made if there is none."""
    meter = revisions.get(revision)
    if meter is None:
        named = [each for each in revisions if each != UNKNOWN]
        if revision != UNKNOWN and len(named) >= REVISIONS_MOST:
            meter_of(revisions, UNKNOWN).add(revisions.pop(named[0]))
        meter = revisions[revision] = FunctionMeter()
    return meter


def add_revisions(to: Revisions, other: Mapping[str, FunctionMeter]) -> None:
    """Count what was counted elsewhere, too."""
    for revision, meter in other.items():
        meter_of(to, revision).add(meter)


def quantile_us(buckets: list[int], share: float) -> float | None:
    """Below which that share of the values is, by the buckets they are in; None where there are none."""
    total = sum(buckets)
    if not total:
        return None
    left = share * total
    low = 0
    for count, high in zip(buckets, (*BOUNDS_US, BOUNDS_US[-1]), strict=True):
        if count and left <= count:
            return low + (high - low) * left / count
        left -= count
        low = high
    return float(BOUNDS_US[-1])
