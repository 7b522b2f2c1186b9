"""What a run has seen: counts, deaths of gateways, and what should not have been."""

import math
from collections import Counter
from dataclasses import dataclass, field

from tests.soak.web.connection import Broken

SHOWN_MOST = 20


@dataclass(slots=True)
class Death:
    """Of a gateway that was killed."""

    dead_s: float = math.inf
    """When it was seen to be dead."""


@dataclass(slots=True)
class Tally:
    """Of one run."""

    counts: Counter[str] = field(default_factory=Counter)
    """What happened, in words -> how often."""
    deaths: list[Death] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def happened(self, what: str) -> None:
        self.counts[what] += 1

    def violated(self, what: str) -> None:
        """Something that is promised did not hold."""
        self.violations.append(what)
        if len(self.violations) <= SHOWN_MOST:
            print(f"VIOLATION  {what}", flush=True)

    def broke(self, what: str, broken: Broken) -> None:
        """An answer did not come, or not whole. That may be where the connection is older than the death of a gateway: it may have been
        that gateway's."""
        if self.is_excused(broken.since_s):
            self.happened("requests cut off by the death of a gateway")
        else:
            self.violated(f"{what}: cut off {broken}, and no gateway was killed since the connection was made")

    def is_excused(self, since_s: float) -> bool:
        """Whether a gateway was killed that lived then."""
        return any(since_s <= death.dead_s for death in self.deaths)
