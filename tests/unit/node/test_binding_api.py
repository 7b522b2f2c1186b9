"""Bindings over the operator API; what they do there, tests/unit/cli/dev/test_remote.py and tests/e2e/test_dev_remote.py see."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from littoral.cli.targets import node_at
from littoral.node.binding_messages import PATH
from tests.support.operator_hub import serving_root
from tests.support.real_node import call

ORDER = {"app": "shop", "kind": "kv", "operation": "get", "name": "things", "arguments": ["a", None]}


@pytest.mark.parametrize(
    ("method", "order", "status", "said"),
    [
        ("POST", ORDER, 404, "things"),
        ("POST", {**ORDER, "kind": "sql"}, 404, "this node has no bindings of kind 'sql'"),
        ("POST", {**ORDER, "app": "../x"}, 400, "this is no call"),
        ("POST", {**ORDER, "more": 1}, 400, "this is no call"),
        ("POST", {**ORDER, "operation": "drop"}, 400, "drop does not take these arguments"),
        ("POST", [], 400, "this is no call"),
        ("PUT", ORDER, 405, "PUT"),
    ],
)
def test_what_cannot_be_done_is_told(tmp_path: Path, method: str, order: Any, status: int, said: str):
    with serving_root(tmp_path) as url:
        fields = {"authorization": f"Bearer {node_at(tmp_path).token}"}
        answer = call(f"{url}{PATH}", method, msgspec.msgpack.encode(order), fields)
    assert (answer.status, said in answer.json()["detail"]) == (status, True), answer.body


def test_it_is_for_operators(tmp_path: Path):
    with serving_root(tmp_path) as url:
        assert call(f"{url}{PATH}", "POST", msgspec.msgpack.encode(ORDER)).status == 401
