"""What a run has seen."""

from collections import Counter
from dataclasses import dataclass, field

SHOWN_MOST = 20


@dataclass(slots=True)
class Tally:
    """Of all nodes of one run."""

    kills: Counter[str] = field(default_factory=Counter)
    """By the moment in the life of a hub."""
    counts: Counter[str] = field(default_factory=Counter)
    """What happened, in words -> how often."""
    rounds: int = 0
    """After which all that was promised had come."""
    spent_s: float = 0.0
    """On all kills together: from one to the next."""
    violations: list[str] = field(default_factory=list)

    def count(self, what: str, times: int) -> None:
        self.counts[what] += times

    def killed(self, moment: str, took_s: float) -> None:
        """took_s: since the one before."""
        self.kills[moment] += 1
        self.spent_s += took_s

    def violated(self, what: str) -> None:
        """Something that is promised did not hold."""
        self.violations.append(what)
        if len(self.violations) <= SHOWN_MOST:
            print(f"VIOLATION  {what}", flush=True)

    def show(self, seed: int) -> None:
        """All of it."""
        kills = self.kills.total()
        for moment, count in sorted(self.kills.items()):
            print(f"{count:>11,}  kills {moment}")
        for what, count in sorted(self.counts.items()):
            print(f"{count:>11,}  {what}")
        print(f"{self.rounds:>11,}  times all that was promised had come")
        each_s = self.spent_s / max(kills, 1)
        print(f"{kills} kills, {each_s:.2f} s each, {len(self.violations)} violations, seed {seed}", flush=True)
