"""Which faults, on whom, and for how long: drawn from a seed before anything is done.

first: each kind once, the longest ahead, so that a short run has all of them
then:  any kind on any target, for as long as there is time
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ROOT, REGION, SITES = "cloud", "eu", ("plant-a", "plant-b")
NODES = (ROOT, REGION, *SITES)
PARENTS = {REGION: ROOT} | dict.fromkeys(SITES, REGION)
LINKS = tuple(PARENTS)
"""By the child whose WAN it is."""
DISKS = ("plant-a", "eu")
"""Nodes with a small disk of their own."""
CLOCKS = ("plant-b", "cloud")
"""Nodes whose clock can be set."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to disturb."""

    name: str
    targets: Sequence[str]
    hold_s: tuple[float, float]
    """How long it lasts: least and most."""
    disturbs_node: bool = True
    """False: a WAN only; the nodes at its ends must go on."""


STOP_S = (17.0, 20.0)
"""Longer than the uplink's silence and the timeout of a request, 15 s both."""

KINDS = (
    Kind("kill-hub", NODES, (0, 0)),
    Kind("kill-gateway", NODES, (0, 0)),
    Kind("kill-functions", NODES, (0, 0)),
    Kind("kill-supervisor", NODES, (0, 0)),
    Kind("stop-hub", NODES, STOP_S),
    Kind("stop-node", NODES, STOP_S),
    Kind("disk-full", DISKS, (3, 8)),
    Kind("disk-read-only", DISKS, (2, 6)),
    Kind("clock", CLOCKS, (3, 8)),
    Kind("cut", LINKS, (2, 8), disturbs_node=False),
    Kind("latency", LINKS, (3, 8), disturbs_node=False),
    Kind("flap", LINKS, (2, 5), disturbs_node=False),
    Kind("loss", LINKS, (3, 8), disturbs_node=False),
    Kind("shape", LINKS, (3, 8), disturbs_node=False),
    Kind("netem", LINKS, (3, 8), disturbs_node=False),
)
BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Fault:
    """One disturbance."""

    kind: str
    target: str
    hold_s: float
    variant: int
    """Chooses among the ways a kind has."""


class Schedule:
    """The faults of a run, on nodes or on links, in order."""

    def __init__(self, seed: int, kinds: Sequence[Kind]) -> None:
        self._random = random.Random(seed)
        self._kinds = kinds
        first = [self._draw(kind) for kind in kinds]
        self.first = sorted(first, key=lambda fault: -fault.hold_s)

    def then(self) -> Iterator[Fault]:
        """Without end; empty if there are no kinds."""
        while self._kinds:
            yield self._draw(self._random.choice(self._kinds))

    def _draw(self, kind: Kind) -> Fault:
        target = self._random.choice(kind.targets)
        return Fault(kind.name, target, round(self._random.uniform(*kind.hold_s), 1), self._random.randrange(1000))
