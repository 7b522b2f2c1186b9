"""What is counted of one app's workers."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from littoral.functions.messages import EXIT_IMPORT, EXIT_MEMORY

Reason = Literal["crash", "idle", "import", "memory", "replaced", "start-timeout", "stopped", "timeout"]


@dataclass(slots=True)
class PoolCounters:
    """Since the hub started."""

    starts: int = 0
    restarts: int = 0
    """Starts in the place of a worker that had ended without being asked to."""
    cold: int = 0
    """Starts that requests waited for."""
    ends: Counter[Reason] = field(default_factory=Counter)
    """Workers that ended, by why."""
    last_failure: str = ""
    """Why the app last failed to start; empty once it started."""


def reason_of(detail: str) -> Reason:
    """Why a worker ended that was not told to, by what the zygote says."""
    reasons: dict[str, Reason] = {f"exit {EXIT_IMPORT}": "import", f"exit {EXIT_MEMORY}": "memory"}
    return reasons.get(detail, "crash")
