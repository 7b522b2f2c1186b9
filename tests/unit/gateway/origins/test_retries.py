"""Whether a request may be tried again."""

import pytest

from littoral.gateway.origins.retries import SAVED, RetryBudget, may_repeat
from littoral.gateway.origins.settings import Retrying
from littoral.gateway.origins.transport import OriginRequest
from tests.support.pools import failed


async def pieces():
    yield b"x"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "X"])
@pytest.mark.parametrize("stage", ["connect", "send", "head", "body", None])
@pytest.mark.parametrize("is_held", [True, False])
def test_what_does_no_harm_twice_or_was_not_sent(method, stage, is_held):
    request = OriginRequest(method, "/", (), b"x" if is_held else pieces())
    is_idempotent = method in {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
    expected = stage == "connect" or (is_idempotent and is_held)
    assert may_repeat(request, failed(stage) if stage else None) is expected


def test_retries_are_a_share_of_requests():
    budget = RetryBudget(Retrying(budget_share=0.2, budget_per_s=0), 0)
    while budget.take(0):
        pass
    taken = 0
    for _ in range(1000):
        budget.request()
        taken += budget.take(0)
    assert taken == pytest.approx(200, abs=1)


def test_a_quiet_pool_has_some_per_second():
    budget = RetryBudget(Retrying(budget_share=0.2, budget_per_s=2), 100)
    assert sum(budget.take(100) for _ in range(50)) == SAVED
    assert not budget.take(100.4)
    assert budget.take(100.5)
    assert sum(budget.take(1000) for _ in range(50)) == SAVED, "it does not save up more"
    for _ in range(1000):
        budget.request()
    assert sum(budget.take(1000) for _ in range(50)) == SAVED
