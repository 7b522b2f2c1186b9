"""What a PUT says of the budget of the stream that it makes, beyond the Durable Streams protocol."""

from collections.abc import Mapping
from typing import Final, NamedTuple, cast, get_args

from littoral.core.errors import InvalidInput
from littoral.core.resources.model import BudgetPolicy
from littoral.core.resources.units import parse_bytes

BUDGET_BYTES: Final = "Littoral-Budget-Bytes"
"""A size as in documents: "64MiB"."""
BUDGET_POLICY: Final = "Littoral-Budget-Policy"
BUDGET_HEADERS: Final = (BUDGET_BYTES, BUDGET_POLICY)


class AskedBudget(NamedTuple):
    """None where nothing was said."""

    bytes: int | None = None
    policy: BudgetPolicy | None = None


NO_BUDGET = AskedBudget()


def parse_budget(headers: Mapping[str, str]) -> AskedBudget:
    """The budget that a PUT asks for. Raises InvalidInput."""
    text, policy = headers.get(BUDGET_BYTES.lower()), headers.get(BUDGET_POLICY.lower())
    size = None if text is None else parse_bytes(text)
    if size == 0:
        raise InvalidInput("read header", BUDGET_BYTES, "a stream that may hold nothing is none")
    if policy is not None and policy not in get_args(BudgetPolicy):
        known = ", ".join(get_args(BudgetPolicy))
        raise InvalidInput("read header", BUDGET_POLICY, f"found {policy[:40]!r}; it is one of {known}")
    return AskedBudget(size, cast("BudgetPolicy | None", policy))
