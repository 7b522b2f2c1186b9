"""The operator API's part for the HTTP cache."""

import json
from typing import Any

import pytest

from littoral.node.cache_api import INSPECT_PATH, PURGE_PATH, TOP_PATH
from littoral.testing.tree import SimTree
from tests.unit.node.test_operator_api import Operator, play


def test_what_is_purged_is_kept_and_goes_down_the_tree(seed: int) -> None:
    async def story(tree: SimTree, root: Operator, site: Operator) -> None:
        orders: list[dict[str, Any]] = [
            {"url": "http://edge.test/a"},
            {"tag": "page", "soft": True},
            {"prefix": "edge.test/a/"},
            {"all": True},
        ]
        for number, order in enumerate(orders):
            said = await root.json("POST", PURGE_PATH, order)
            assert said == {"number": number, "gateways": 0, "objects": 0, "unconfirmed": 0}
        await tree.until(lambda: len(site.node.records("plant-a/purges")) == len(orders))
        assert (await site.json("POST", PURGE_PATH, {"all": True}))["number"] == len(orders)
        assert await root.json("GET", INSPECT_PATH, url="edge.test/a") == {"gateways": []}

    play(story, seed)


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"", "truncated"),
        (b"{}", "exactly one of"),
        (b'{"url":"a.test","tag":"b"}', "exactly one of"),
        (b'{"all":true,"tag":"b"}', "exactly one of"),
        (b'{"tag":"a b"}', "no spaces"),
        (b'{"url":"/a"}', "not one of a web server's"),
        (b'{"prefix":"a.test/?x"}', "without a query"),
        (b'{"tagg":"a"}', "unknown field"),
        (b'{"tag":5}', "Expected"),
    ],
)
def test_what_could_be_meant_for_nothing_is_refused_and_not_kept(body: bytes, cause: str, seed: int) -> None:
    async def story(_: SimTree, root: Operator, site: Operator) -> None:
        response = await root("POST", PURGE_PATH, body)
        assert response.status == 400
        assert cause in json.loads(response.body)["detail"]
        assert root.node.records("cloud/purges") == []

    play(story, seed)


def test_other_requests_are_refused(seed: int) -> None:
    async def story(_: SimTree, root: Operator, site: Operator) -> None:
        assert (await root("GET", PURGE_PATH)).status == 405
        assert (await root("POST", INSPECT_PATH)).status == 405
        assert (await root("POST", TOP_PATH)).status == 405
        assert [(await root("GET", TOP_PATH, count=count)).status for count in ("0", "101", "x")] == [400] * 3
        assert await root.json("GET", TOP_PATH) == {"gateways": 0, "objects": []}
        assert (await root("GET", "/v1/cache/else")).status == 404
        assert (await root("GET", INSPECT_PATH)).status == 400
        assert (await root("POST", PURGE_PATH, b'{"all":true}', token="wrong")).status == 401

    play(story, seed)


def test_nobody_else_writes_the_stream(seed: int) -> None:
    async def story(_: SimTree, root: Operator, site: Operator) -> None:
        assert (await root("PUT", "/v1/streams/cloud/purges")).status >= 400

    play(story, seed)
