"""The operator API: who is answered, and what is refused in which words."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from littoral.core.errors import LittoralError
from littoral.core.http import Request, Response
from littoral.core.resources import Namespace
from littoral.core.resources.part import Metadata
from littoral.fleet.desired import DesiredRecord, record_of
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire.problem import problem_response
from tests.support.vertical import LINES, RULE


class Operator:
    def __init__(self, node: SimNode) -> None:
        self.node = node

    async def __call__(
        self, method: str, path: str, body: bytes = b"", token: str | None = None, **query: str
    ) -> Response:
        hub = self.node.running
        shown = f"Bearer {hub.operator_token}" if token is None else token
        request = Request(method, path, query, {"authorization": shown, "host": "here"}, body)
        try:
            response = await hub.operator_api.handle(request)
        except LittoralError as error:
            return problem_response(error)
        assert isinstance(response, Response)
        return response

    async def json(self, method: str, path: str, body: object = None, **query: str) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        response = await self(method, path, data, **query)
        assert response.status == 200, response.body
        return json.loads(response.body)


def play(story: Callable[[SimTree, Operator, Operator], Awaitable[None]], seed: int) -> None:
    """At the root, and at a site."""

    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        await story(tree, Operator(root), Operator(site))
        await tree.stop()

    run(main, seed=seed)


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer wrong", "Basic x", "Bearer ü"])
@pytest.mark.parametrize("path", ["/v1/status", "/v1/kv/lines/k", "/v1/streams/cloud/s", "/v1/nothing", "/"])
def test_nobody_without_the_token_learns_anything(token: str, path: str, seed: int):
    async def story(tree: SimTree, root: Operator, site: Operator) -> None:
        response = await root("GET", path, token=token)
        assert response.status == 401
        assert "identity/operator.token" in json.loads(response.body)["remedy"]

    play(story, seed)


def test_subscriptions_are_the_operators_but_for_what_those_who_are_woken_call(seed: int):
    async def story(_: SimTree, root: Operator, __: Operator) -> None:
        address = "/v1/stream/__ds/subscriptions/s"
        body = b'{"type": "webhook", "pattern": "**", "webhook": {"url": "https://worker.example"}}'
        for method in ("PUT", "GET", "DELETE"):
            refused = await root(method, address, body, token="Bearer wrong")
            assert (refused.status, json.loads(refused.body)["error"]["code"]) == (401, "UNAUTHENTICATED")
        assert (await root("PUT", address, body)).status == 201
        assert (await root("GET", address)).status == 200
        called = await root("POST", f"{address}/callback", b"{}", token="Bearer 1.w_1.x")
        assert json.loads(called.body)["error"]["code"] == "TOKEN_INVALID"
        assert (await root("GET", "/v1/stream/__ds/jwks.json", token="")).status == 200
        assert (await root("DELETE", address)).status == 204

    play(story, seed)


def test_health_and_metrics_are_open(seed: int):
    async def story(tree: SimTree, root: Operator, site: Operator) -> None:
        assert (await root("GET", "/healthz", token="")).body == b"ok\n"
        for operator in (root, site):
            response = await operator("GET", "/metrics", token="")
            families = {family.name for family in text_string_to_metric_families(response.body.decode())}
            assert {"littoral_up", "littoral_limit_reached", "littoral_streams"} <= families
        assert "littoral_uplink_queue_records" in families
        assert operator.node.running.operator_token.encode() not in response.body

    play(story, seed)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/v1/status", 405),
        ("PATCH", "/v1/resources", 405),
        ("GET", "/v1/tokens", 405),
        ("POST", "/v1/kv/lines", 405),
        ("PATCH", "/v1/kv/lines/k", 405),
        ("GET", "/v1/nothing", 404),
        ("POST", "/metrics", 404),
        ("GET", "/v1/kv/nothing/k", 404),
        ("GET", "/v1/kv/lines/none", 404),
        ("GET", "/v1/streams/cloud/none", 404),
        ("GET", "/v1/streams/UPPER/s", 400),
        ("PUT", "/v1/streams/cloud/desired", 403),
        ("POST", "/v1/streams/cloud/readings", 403),
        ("DELETE", "/v1/streams/cloud/kv/lines", 403),
    ],
)
def test_what_is_refused(method: str, path: str, status: int, seed: int):
    async def story(tree: SimTree, root: Operator, site: Operator) -> None:
        await tree.apply(root.node, LINES)
        await tree.until(lambda: root.node.running.desired.namespace("lines"))
        response = await root(method, path)
        assert response.status == status, response.body
        assert json.loads(response.body)["cause"]

    play(story, seed)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "truncated"),
        (b"{}", "missing required field `node`"),
        (b'{"node": "UPPER"}', "a node's name is"),
        (b'{"node": "cloud"}', "a node does not join itself"),
        (b'{"node": "a", "ttl": 5}', "unknown field `ttl`"),
        (b'{"node": "a", "ttlS": 0}', "`int` >= 1"),
        (b'{"node": "a", "ttlS": 99999999999999}', "`int` <= 2592000"),
    ],
)
def test_a_token_order_that_is_none(body: bytes, said: str, seed: int):
    async def story(tree: SimTree, root: Operator, site: Operator) -> None:
        response = await root("POST", "/v1/tokens", body)
        assert response.status == 400, response.body
        assert said in json.loads(response.body)["detail"]

    play(story, seed)


def test_status_nodes_streams_and_resources(seed: int):
    async def story(tree: SimTree, root: Operator, site: Operator) -> None:
        await tree.apply(root.node, RULE, LINES)
        assert (await site.json("GET", "/v1/status"))["link"]["parent"] == "cloud"
        await tree.until(lambda: root.node.records("plant-a/status"))
        assert [each["node"] for each in await root.json("GET", "/v1/nodes")] == ["cloud", "plant-a"]
        names = [each["name"] for each in (await root.json("GET", "/v1/stream-list"))["streams"]]
        assert "cloud/desired" in names
        assert "plant-a/status" in names
        kinds = [f"{each['kind']}/{each['name']}" for each in await root.json("GET", "/v1/resources")]
        assert kinds == ["Namespace/lines", "Rule/temperature"]

    play(story, seed)


def test_resources_are_applied_at_the_root_only_and_whole_or_not_at_all(seed: int):
    async def story(tree: SimTree, root: Operator, site: Operator) -> None:
        good = record_of(Namespace(api_version="littoral/v1", metadata=Metadata(name="good")), None)
        refused = await site("POST", "/v1/resources", msgspec.msgpack.encode([good]))
        assert (refused.status, json.loads(refused.body)["remedy"]) == (409, "Apply them at the root")
        bad = DesiredRecord("Rule", "bad", "1", b"{}")
        for body in (b"\xc1", msgspec.msgpack.encode([good, bad])):
            assert (await root("POST", "/v1/resources", body)).status == 400
        assert root.node.records("cloud/desired") == []
        for changed in (1, 0):
            response = await root("POST", "/v1/resources", msgspec.msgpack.encode([good]))
            assert json.loads(response.body) == {"changed": changed}

    play(story, seed)


def test_keys_are_written_read_listed_and_deleted(seed: int):
    async def story(tree: SimTree, root: Operator, site: Operator) -> None:
        await tree.apply(root.node, LINES)
        await tree.until(lambda: root.node.running.desired.namespace("lines"))
        for key in ("a", "b/c"):
            assert (await root("PUT", f"/v1/kv/lines/{key}", b"v")).status == 204
        assert (await root("GET", "/v1/kv/lines/b/c")).body == b"v"
        assert await root.json("GET", "/v1/kv/lines") == {"keys": ["a", "b/c"], "cursor": None}
        assert await root.json("GET", "/v1/kv/lines", limit="1") == {"keys": ["a"], "cursor": "a"}
        assert (await root("PUT", "/v1/kv/lines/a", b"v", ttl="60", metadata='{ "a": 1 }')).status == 204
        details = await root.json("GET", "/v1/kv/lines/a", details="true")
        assert details["metadata"] == {"a": 1}
        listed = await root.json("GET", "/v1/kv/lines")
        assert listed == {"keys": ["a", "b/c"], "cursor": None, "details": {"a": details}}
        for wrong in ({"ttl": "59"}, {"ttl": "x"}, {"metadata": "{"}, {"ttl": "60", "expiration": "9"}):
            assert (await root("PUT", "/v1/kv/lines/a", b"v", **wrong)).status == 400
        assert (await root("DELETE", "/v1/kv/lines/a")).status == 204
        for limit in ("x", "-1", "9" * 5000):
            assert (await root("GET", "/v1/kv/lines", limit=limit)).status == 400

    play(story, seed)
