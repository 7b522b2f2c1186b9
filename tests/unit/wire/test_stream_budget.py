"""The headers by which a PUT says what its stream may hold."""

import pytest

from littoral.core.errors import InvalidInput
from littoral.wire.stream_budget import AskedBudget, parse_budget


def test_nothing_said_is_nothing_asked():
    assert parse_budget({}) == AskedBudget(None, None)


def test_both():
    headers = {"littoral-budget-bytes": "16MiB", "littoral-budget-policy": "reject"}
    assert parse_budget(headers) == AskedBudget(16 << 20, "reject")


@pytest.mark.parametrize(
    ("header", "value", "cause"),
    [
        ("littoral-budget-bytes", "0", "a stream that may hold nothing is none"),
        ("littoral-budget-bytes", "much", "a whole number"),
        ("littoral-budget-policy", "forget", "found 'forget'; it is one of drop-oldest, reject, spill"),
    ],
)
def test_nonsense_is_refused(header, value, cause):
    with pytest.raises(InvalidInput, match=cause):
        parse_budget({header: value})
