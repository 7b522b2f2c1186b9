"""What a run prints: a line for each fault, and tables at the end."""

import statistics
from dataclasses import dataclass, field

from tests.soak.schedule import Fault
from tests.soak.workload import seconds


@dataclass(slots=True)
class Report:
    """Of one run."""

    seed: int
    started_s: float = field(default_factory=seconds)
    recovered_s: dict[str, list[float]] = field(default_factory=dict)
    """Kind -> how long each took from the end of the fault until all worked again."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Kind -> why it cannot be had on this machine."""
    violations: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """What clients did, in words -> how often."""

    def say(self, text: str) -> None:
        """A line, with the time since the start."""
        print(f"{seconds() - self.started_s:7.1f} s  {text}", flush=True)

    def happened(self, fault: Fault, detail: str, recovered_s: float) -> None:
        """A fault is over, and what it disturbed works again."""
        self.recovered_s.setdefault(fault.kind, []).append(recovered_s)
        held = f"for {fault.hold_s:g} s, " if fault.hold_s else ""
        self.say(
            f"{fault.kind:16} {fault.target:8} {held}{detail}{', ' if detail else ''}well after {recovered_s:.1f} s"
        )

    def violated(self, text: str) -> None:
        self.violations.append(text)
        self.say(f"VIOLATION  {text}")

    def show(self) -> None:
        """The tables."""
        print(f"\n{'fault':16} {'hits':>5}   well again after (median, most)")
        for kind, took in sorted(self.recovered_s.items()):
            print(f"{kind:16} {len(took):>5}   {statistics.median(took):.1f} s, {max(took):.1f} s")
        for kind, reason in self.skipped.items():
            print(f"{kind:16} skipped: {reason}")
        print()
        for name, count in self.counts.items():
            print(f"{count:>9,}  {name}")
        print()
        for violation in self.violations:
            print(f"VIOLATION  {violation}")
        print(f"{len(self.violations)} violations, seed {self.seed}", flush=True)
