"""Whether a request that failed may be tried again, and whether there is room for it.

It may if nothing of an answer was sent on, and either nothing of it was sent (then any), or sending it twice does what
sending it once does (RFC 9110, section 9.2.2) and all of it is still at hand.
"""

from littoral.gateway.origins.settings import Retrying
from littoral.gateway.origins.transport import OriginFailed, OriginRequest

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
SAVED = 10.0
"""Tries that a budget saves up at most, for a pool of which some fail at once."""


def may_repeat(request: OriginRequest, failure: OriginFailed | None) -> bool:
    """failure: None for an answer whose status asks for it."""
    if failure is not None and failure.stage == "connect":
        return True
    return request.method in IDEMPOTENT and isinstance(request.body, bytes)


class RetryBudget:
    """That of a pool: a share of its requests, so that a pool that fails is not asked several times as much."""

    def __init__(self, settings: Retrying, now_s: float) -> None:
        self._share = settings.budget_share
        self._per_s = settings.budget_per_s
        self._saved = SAVED
        self._since_s = now_s

    def request(self) -> None:
        """One was made, for the first time."""
        self._saved += self._share

    def take(self, now_s: float) -> bool:
        """Whether another try is within it; then it is taken from it."""
        self._saved = min(self._saved + self._per_s * (now_s - self._since_s), SAVED)
        self._since_s = now_s
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
