"""What a gateway counts of its pools. Plain numbers: they are bumped on every request and read once a second."""

from msgspec import Struct

LATENCY_WEIGHT = 0.1
"""Of the newest request in the mean."""


class TargetMeter(Struct):
    """The requests to one target since the gateway started, and what it is now."""

    requests: int = 0
    """Tries, that is: a request that is tried again counts twice."""
    failures: int = 0
    retries: int = 0
    """Tries that were not the first of their request."""
    checks_failed: int = 0
    ejections: int = 0
    opened: int = 0
    """How often its circuit was."""
    inflight: int = 0
    is_healthy: bool = True
    """Neither ejected, nor its circuit open, nor unhealthy by its checks; when `OriginCaller.look` was called last."""
    latency_s: float = 0.0
    """From the request to the head of the response; a moving mean."""

    def took(self, seconds: float) -> None:
        """One response has come."""
        if self.latency_s:
            self.latency_s += LATENCY_WEIGHT * (seconds - self.latency_s)
        else:
            self.latency_s = seconds


class PoolMeter(Struct):
    """The requests to one pool."""

    targets: dict[str, TargetMeter] = {}
    """By endpoint."""
    unavailable: int = 0
    """Requests for which there was no target."""
    waiting: int = 0
    """Now."""
    refused: int = 0
    """Requests that were one too many to wait, or waited too long."""
    over_budget: int = 0
    """Requests that would have been tried again, had there not been so many."""
