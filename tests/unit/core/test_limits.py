import runpy
from pathlib import Path
from typing import get_args

import pytest

from littoral.core.errors import InvalidInput
from littoral.core.limit import Limit, Policy
from littoral.core.limits import LIMITS, READ_BYTES, RECORD_BYTES, Limits

REPOSITORY = Path(__file__).parents[3]


def test_a_node_has_the_defaults():
    limits = Limits()
    assert {name: limits[limit] for name, limit in LIMITS.items()} == {
        name: limit.default for name, limit in LIMITS.items()
    }


def test_a_node_sets_its_own_value_for_one_and_keeps_the_others():
    limits = Limits({"record-bytes": 4096})
    assert limits[RECORD_BYTES] == 4096
    assert limits[READ_BYTES] == READ_BYTES.default


def test_a_limit_that_does_not_exist_is_refused_by_name():
    with pytest.raises(InvalidInput, match="cannot set limit record-byte: there is no such limit.*limits.md"):
        Limits({"record-byte": 4096})


@pytest.mark.parametrize("value", [0, -1])
def test_nothing_is_limited_to_nothing(value: int):
    with pytest.raises(InvalidInput, match="below 1"):
        Limits({"record-bytes": value})


def test_what_reaches_a_limit_is_counted_at_that_limit_and_node_only():
    here, there = Limits(), Limits()
    here.hit(RECORD_BYTES)
    here.hit(RECORD_BYTES)
    assert here.reached["record-bytes"] == 2
    assert here.reached["read-bytes"] == 0
    assert there.reached["record-bytes"] == 0


@pytest.mark.parametrize("limit", LIMITS.values(), ids=lambda limit: limit.name)
def test_every_limit_says_what_it_bounds_and_why(limit: Limit):
    assert limit.default >= 1
    assert limit.unit
    assert limit.reason
    assert limit.policy in get_args(Policy)


def test_the_reference_page_is_what_the_source_says():
    page = runpy.run_path(str(REPOSITORY / "scripts" / "write-limits-page.py"))["page"]()
    written = (REPOSITORY / "docs" / "reference" / "limits.md").read_text(encoding="utf-8")
    assert written == page, "docs/reference/limits.md is old: run `make docs`"


def test_the_reference_page_explains_every_policy():
    written = (REPOSITORY / "docs" / "reference" / "limits.md").read_text(encoding="utf-8")
    assert [policy for policy in get_args(Policy) if f"\n| {policy} | " not in written] == []


@pytest.mark.parametrize("limit", [limit for limit in LIMITS.values() if limit.maximum], ids=lambda limit: limit.name)
def test_what_other_nodes_must_be_able_to_read_has_a_maximum(limit: Limit):
    assert Limits({limit.name: limit.most})[limit] == limit.most
    with pytest.raises(InvalidInput, match="the most that every node can read"):
        Limits({limit.name: limit.most + 1})
