"""What the control addresses take, and what they answer to what is wrong."""

import asyncio
import json

import pytest

from littoral.core.http import Request
from littoral.core.names import StreamName
from littoral.core.resources.model import ANYONE, StreamAccess, Streams
from littoral.core.resources.model import Webhooks as Targets
from littoral.security.webhook_key import KEY_PATH
from littoral.streams.access import AccessList
from littoral.streams.subscriptions.record import Owner
from littoral.streams.subscriptions.rights import Caller
from littoral.wire.durable_streams import format_offset
from tests.support.subscribed import SUBSCRIPTION, URL, Subscribed, play

HOOK = {"type": "webhook", "pattern": "events/*", "webhook": {"url": URL}}
POOL = {"type": "pull-wake", "pattern": "events/*", "wake_stream": "wake/pool"}
WAKE = {"wake_id": "w_1", "generation": 1}


def test_a_subscription_is_made_once_and_confirmed_by_the_same_configuration_only():
    async def story(node: Subscribed) -> None:
        assert await node.refused("GET", SUBSCRIPTION) == (404, "SUBSCRIPTION_NOT_FOUND")
        body = {**HOOK, "streams": ["x/b", "x/a"], "description": "what it is for"}
        made = await node("PUT", SUBSCRIPTION, body)
        assert made.status == 201
        shown = json.loads(made.body)
        at = shown.pop("created_at")
        assert at.startswith("2023-11-14T22:13:2")
        kid = shown["webhook"]["signing"]["kid"]
        assert shown == {
            "id": "s",
            "subscription_id": "s",
            "type": "webhook",
            "pattern": "events/*",
            "streams": [
                {"path": "x/a", "link_type": "explicit", "acked_offset": format_offset(0)},
                {"path": "x/b", "link_type": "explicit", "acked_offset": format_offset(0)},
            ],
            "webhook": {
                "url": URL,
                "signing": {"alg": "ed25519", "kid": kid, "jwks_url": "http://here:1/v1/stream/__ds/jwks.json"},
            },
            "wake_stream": None,
            "lease_ttl_ms": 30_000,
            "status": "active",
            "description": "what it is for",
            "generation": 0,
        }
        same = {**body, "streams": ["x/a", "x/b", "x/a"], "lease_ttl_ms": 30_000, "wake_stream": None}
        confirmed = await node("PUT", SUBSCRIPTION, same)
        assert (confirmed.status, confirmed.body) == (200, made.body)
        others = ({"lease_ttl_ms": 2000}, {"streams": ["x/a"]}, {"pattern": "e/*"}, {"description": None}, POOL)
        await node.append("wake/pool")
        for other in others:
            refused = await node.refused("PUT", SUBSCRIPTION, {**body, **other})
            assert refused == (409, "SUBSCRIPTION_ALREADY_EXISTS")
        assert (await node("DELETE", SUBSCRIPTION)).status == 204
        assert await node.refused("DELETE", SUBSCRIPTION) == (404, "SUBSCRIPTION_NOT_FOUND")
        assert await node.refused("GET", SUBSCRIPTION) == (404, "SUBSCRIPTION_NOT_FOUND")

    play(story)


INVALID = (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (b"", INVALID),
        (b"{", INVALID),
        (b"\xff", INVALID),
        (b"[" * 4000, INVALID),
        (b"[]", INVALID),
        ({"type": "mail"}, INVALID),
        ({"type": None}, INVALID),
        ({"pattern": None}, INVALID),
        ({"pattern": None, "streams": []}, INVALID),
        ({"pattern": ""}, INVALID),
        ({"pattern": "/events/*"}, INVALID),
        ({"pattern": "events//*"}, INVALID),
        ({"pattern": "ev*"}, INVALID),
        ({"pattern": "***"}, INVALID),
        ({"pattern": "events/?"}, INVALID),
        ({"pattern": "/".join("abcdefghijk")}, INVALID),
        ({"pattern": 7}, INVALID),
        ({"streams": ["/x"]}, INVALID),
        ({"streams": ["../x"]}, INVALID),
        ({"streams": "x"}, INVALID),
        ({"webhook": None}, INVALID),
        ({"webhook": {}}, INVALID),
        ({"lease_ttl_ms": 999}, INVALID),
        ({"lease_ttl_ms": 600_001}, INVALID),
        ({"lease_ttl_ms": 30_001}, INVALID),
        ({"lease_ttl_ms": "1s"}, INVALID),
        ({"description": "x" * 1001}, INVALID),
        ({"type": "pull-wake"}, INVALID),
        ({**POOL, "wake_stream": "wake/none"}, INVALID),
        ({**POOL, "wake_stream": "text"}, INVALID),
        ({**POOL, "wake_stream": "closed"}, INVALID),
        ({**POOL, "wake_stream": "a//b"}, INVALID),
        ({**POOL, "streams": ["wake/pool"]}, INVALID),
        ({**POOL, "wake_stream": "status"}, (403, "FORBIDDEN")),
        ({"webhook": {"url": "http://10.0.0.1/hook"}}, (400, "WEBHOOK_URL_REJECTED")),
        ({"streams": [f"x/{n}" for n in range(4)]}, (429, "LIMIT_REACHED")),
        (b"x" * 5000, (413, "TOO_LARGE")),
    ],
)
def test_a_subscription_that_is_wrong_is_not_made(change: bytes | dict[str, object], refusal: tuple[int, str]):
    async def story(node: Subscribed) -> None:
        await node.append("wake/pool")
        await node("PUT", "closed", b"[]")
        for path, more in (("text", {"content-type": "text/plain"}), ("closed", {"stream-closed": "true"})):
            await raw_put(node, path, more)
        body = change if isinstance(change, bytes) else {**HOOK, **change}
        assert await node.refused("PUT", SUBSCRIPTION, body) == refusal
        assert await node.refused("GET", SUBSCRIPTION) == (404, "SUBSCRIPTION_NOT_FOUND")

    play(story, subscription_streams=3, subscription_lease_ms=30_000, subscription_body_bytes=4096)


async def raw_put(node: Subscribed, path: str, headers: dict[str, str]) -> None:
    method = "POST" if "stream-closed" in headers else "PUT"
    await node.server.handle(Request(method, f"/v1/stream/{path}", {}, {"host": "here:1", **headers}, b""))


@pytest.mark.parametrize(
    ("method", "path", "refusal"),
    [
        ("GET", "__ds", (404, "SUBSCRIPTION_NOT_FOUND")),
        ("GET", "__ds/other", (404, "SUBSCRIPTION_NOT_FOUND")),
        ("GET", "__ds/subscriptions", (404, "SUBSCRIPTION_NOT_FOUND")),
        ("GET", "__ds/subscriptions/", INVALID),
        ("GET", "__ds/subscriptions/a b", INVALID),
        ("GET", "__ds/subscriptions/..", INVALID),
        ("GET", f"__ds/subscriptions/{'x' * 101}", INVALID),
        ("PATCH", SUBSCRIPTION, (405, "METHOD_NOT_ALLOWED")),
        ("POST", SUBSCRIPTION, (405, "METHOD_NOT_ALLOWED")),
        ("POST", "__ds/jwks.json", (405, "METHOD_NOT_ALLOWED")),
        ("GET", f"{SUBSCRIPTION}/claim", (405, "METHOD_NOT_ALLOWED")),
        ("GET", f"{SUBSCRIPTION}/streams", (405, "METHOD_NOT_ALLOWED")),
        ("DELETE", f"{SUBSCRIPTION}/streams", (405, "METHOD_NOT_ALLOWED")),
        ("POST", f"{SUBSCRIPTION}/claims", (404, "SUBSCRIPTION_NOT_FOUND")),
        ("POST", f"{SUBSCRIPTION}/claim/x", (404, "SUBSCRIPTION_NOT_FOUND")),
    ],
)
def test_an_address_that_is_none_is_refused(method: str, path: str, refusal: tuple[int, str]):
    async def story(node: Subscribed) -> None:
        await node.webhook()
        assert await node.refused(method, path, {}) == refusal

    play(story)


@pytest.mark.parametrize(
    ("action", "body", "refusal"),
    [
        ("claim", {}, INVALID),
        ("claim", {"worker": ""}, INVALID),
        ("claim", {"worker": "x" * 257}, INVALID),
        ("claim", {"worker": 7}, INVALID),
        ("claim", {"worker": "w"}, INVALID),
        ("streams", {}, INVALID),
        ("streams", {"streams": []}, INVALID),
        ("streams", {"streams": ["a//b"]}, INVALID),
        ("callback", WAKE, (401, "TOKEN_INVALID")),
        ("ack", WAKE, (401, "TOKEN_INVALID")),
        ("release", WAKE, (401, "TOKEN_INVALID")),
    ],
)
def test_a_call_that_is_wrong_is_refused(action: str, body: object, refusal: tuple[int, str]):
    async def story(node: Subscribed) -> None:
        await node.webhook()
        assert await node.refused("POST", f"{SUBSCRIPTION}/{action}", body) == refusal
        if refusal[0] == 401:
            shown = await node("POST", f"{SUBSCRIPTION}/{action}", body)
            assert ("WWW-Authenticate", "Bearer") in list(shown.headers)

    play(story)


def test_a_token_is_good_for_its_subscription_and_its_kind_of_call_only():
    async def story(node: Subscribed) -> None:
        await node.webhook()
        await node.json("PUT", "__ds/subscriptions/t", HOOK)
        await node.append("wake/pool")
        await node.json("PUT", "__ds/subscriptions/pool", POOL)
        await node.append("events/a", {"n": 1})
        post = await node.posted(1)
        mine = "s" if post.body["subscription_id"] == "s" else "t"
        other = "t" if mine == "s" else "s"
        token = post.body["callback_token"]
        body = {"wake_id": post.body["wake_id"], "generation": post.body["generation"], "done": True}
        invalid = (401, "TOKEN_INVALID")
        assert await node.refused("POST", f"__ds/subscriptions/{other}/callback", body, token=token) == invalid
        assert await node.refused("POST", f"__ds/subscriptions/{mine}/ack", body, token=token) == INVALID
        assert await node.refused("POST", f"__ds/subscriptions/{mine}/release", body, token=token) == INVALID
        tree = f"/v1/streams/__ds/subscriptions/{mine}/callback"
        assert await node.refused("POST", tree, body, token=token) == invalid
        for forged in ("", "x", token[:-1], token + "x", f"9{token}", token.replace(".w_", ".w_0"), "1..", "é.w.x"):
            refused = await node.refused("POST", f"__ds/subscriptions/{mine}/callback", body, token=forged)
            assert refused == invalid
        wrong = (b"", b"{}", {"wake_id": 7, "generation": 1}, {**body, "acks": [{"stream": "events/a"}]})
        for each in wrong:
            assert await node.refused("POST", f"__ds/subscriptions/{mine}/callback", each, token=token) == INVALID
        await node.json("POST", f"__ds/subscriptions/{mine}/callback", body, token)

    play(story)


def test_there_are_no_more_subscriptions_than_the_limit():
    async def story(node: Subscribed) -> None:
        for n in range(3):
            await node.json("PUT", f"__ds/subscriptions/s{n}", HOOK)
        assert await node.refused("PUT", SUBSCRIPTION, HOOK) == (429, "LIMIT_REACHED")
        assert node.sim.limits.reached["subscriptions"] == 1
        await node("DELETE", "__ds/subscriptions/s1")
        await node.json("PUT", SUBSCRIPTION, HOOK)

    play(story, subscriptions=3)


def test_streams_are_linked_and_unlinked_by_name():
    async def story(node: Subscribed) -> None:
        await node.append("x/there", {"n": 1})
        await node.webhook(streams=["x/none"])
        add, remove = f"{SUBSCRIPTION}/streams", f"{SUBSCRIPTION}/streams/x/there"
        assert (await node("POST", add, {"streams": ["x/there", "events/a"]})).status == 204
        assert (await node("POST", add, {"streams": ["x/there"]})).status == 204
        links = {each["path"]: each["link_type"] for each in (await node.read())["streams"]}
        assert links == dict.fromkeys(("events/a", "x/none", "x/there"), "explicit")
        assert (await node.acked())["x/there"] == format_offset(1), "where it ends"
        await node.append("x/there", {"n": 2})
        assert set((await node.posted(1)).streams) == {"x/there"}
        await node.append("events/a", {"n": 1})
        assert (await node("DELETE", remove)).status == 204
        assert (await node("DELETE", remove)).status == 204
        assert (await node("DELETE", f"{SUBSCRIPTION}/streams/events/a")).status == 204
        links = {each["path"]: each["link_type"] for each in (await node.read())["streams"]}
        assert links == {"events/a": "glob", "x/none": "explicit"}, "what the pattern means stays"
        assert await node.refused("POST", add, {"streams": [f"x/{n}" for n in range(3)]}) == (429, "LIMIT_REACHED")
        gone = (404, "SUBSCRIPTION_NOT_FOUND")
        assert await node.refused("POST", "__ds/subscriptions/t/streams", {"streams": ["x"]}) == gone
        assert await node.refused("DELETE", "__ds/subscriptions/t/streams/x") == gone

    play(story, subscription_streams=3)


def test_a_stream_that_is_deleted_and_made_again_is_told_of_from_its_beginning():
    async def story(node: Subscribed) -> None:
        node.receiver.says(200, b'{"done": true}')
        await node.append("events/a", {"n": 1}, {"n": 2})
        await node.append("x", {"n": 1}, {"n": 2})
        await node.webhook(streams=["x"])
        for path in ("events/a", "x"):
            assert (await node("DELETE", path)).status == 204
        await asyncio.sleep(1)
        assert await node.acked() == {"x": format_offset(0)}
        await node.append("events/a", {"n": 3})
        await node.append("x", {"n": 3})
        await asyncio.sleep(1)
        told = {path: each for post in node.receiver.posts for path, each in post.streams.items()}
        assert {path: each["acked_offset"] for path, each in told.items()} == dict.fromkeys(
            ("events/a", "x"), format_offset(0)
        )
        assert await node.acked() == {"events/a": format_offset(1), "x": format_offset(1)}

    play(story)


def test_cursors_of_streams_that_are_gone_do_not_pile_up():
    async def story(node: Subscribed) -> None:
        node.receiver.says(200, b'{"done": true}')
        await node.webhook()
        for n in range(5):
            await node.append(f"events/{n}", {"n": 1})
            await node.posted(n + 1)
        await asyncio.sleep(1)
        assert len(node.store.state("subscription/own/s")) == 5
        for n in range(5):
            await node("DELETE", f"events/{n}")
        await asyncio.sleep(1)
        assert node.store.state("subscription/own/s") == {}

    play(story)


def test_a_fork_is_told_of_from_where_it_parts_from_its_source():
    async def story(node: Subscribed) -> None:
        await node.append("source", {"n": 1}, {"n": 2})
        await node.webhook()
        headers = {"stream-forked-from": "/v1/stream/source"}
        await raw_put(node, "events/fork", headers)
        await asyncio.sleep(10)
        assert node.receiver.posts == []
        await node.append("events/fork", {"n": 3})
        assert (await node.posted(1)).streams["events/fork"]["acked_offset"] == format_offset(2)

    play(story)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("**", {"a", "a/b", "a/b/c"}),
        ("*", {"a"}),
        ("a/*", {"a/b"}),
        ("a/**", {"a", "a/b", "a/b/c"}),
        ("**/c", {"a/b/c"}),
        ("a/*/c", {"a/b/c"}),
        ("a/b", {"a/b"}),
        ("kv-down", {"kv-down"}),
        ("status/**", {"status"}),
    ],
)
def test_a_pattern_means_no_stream_that_littoral_writes_unless_it_names_it(pattern: str, told: set[str]):
    async def story(node: Subscribed) -> None:
        await node.webhook(pattern)

        def write(tx) -> None:
            for path in ("a", "a/b", "a/b/c", "status", "kv-down"):
                name = StreamName("plant-a", path)
                tx.open_stream(name)
                tx.append(name, [b"{}"])

        await node.store.submit(write)
        assert set((await node.posted(1)).streams) == told

    play(story)


def test_the_tree_has_subscriptions_of_its_own_to_the_streams_of_all_nodes():
    async def story(node: Subscribed) -> None:
        address = "/v1/streams/__ds/subscriptions/s"
        body = {**HOOK, "pattern": "*/events/*", "streams": ["plant-b/x"]}
        made = await node.json("PUT", address, body)
        assert made["webhook"]["signing"]["jwks_url"] == "http://here:1/v1/streams/__ds/jwks.json"
        assert (await node("GET", "/v1/streams/__ds/jwks.json")).body == (await node("GET", "__ds/jwks.json")).body
        assert await node.refused("GET", SUBSCRIPTION) == (404, "SUBSCRIPTION_NOT_FOUND")
        await node.append("events/a", {"n": 1})
        post = await node.posted(1)
        assert set(post.streams) == {"plant-a/events/a"}
        assert post.body["callback_url"] == f"http://here:1{address}/callback"
        acks = [{"stream": "plant-a/events/a", "offset": format_offset(1)}]
        call = {"wake_id": post.body["wake_id"], "generation": 1, "acks": acks, "done": True}
        await node.json("POST", f"{address}/callback", call, post.body["callback_token"])
        pool = {"type": "pull-wake", "pattern": "*/events/*", "wake_stream": "plant-b/wake"}
        assert await node.refused("PUT", "/v1/streams/__ds/subscriptions/p", pool) == INVALID

    play(story)


def test_where_it_is_called_back_is_where_it_was_made_or_what_the_document_says():
    async def story(node: Subscribed) -> None:
        for host in ("", "a/b", "a b", "user@host", "[::1"):
            assert await node.refused("PUT", SUBSCRIPTION, HOOK, host=host) == INVALID
        made = await node("PUT", SUBSCRIPTION, HOOK, host="[::1]:80")
        assert b'"http://[::1]:80/v1/stream/__ds/jwks.json"' in made.body

    play(story)

    async def behind_a_proxy(node: Subscribed) -> None:
        made = await node.webhook()
        assert made["webhook"]["signing"]["jwks_url"] == "https://streams.example/v1/stream/__ds/jwks.json"
        await node.append("events/a", {"n": 1})
        post = await node.posted(1)
        assert post.body["callback_url"] == f"https://streams.example/v1/stream/{SUBSCRIPTION}/callback"

    play(behind_a_proxy, Streams(webhooks=Targets(base_url="https://streams.example")))


ACCESS = [
    StreamAccess(streams=["plant-a/events/*"], read=["ann"], append=["ann"], manage=["ann"]),
    StreamAccess(streams=["plant-a/__ds/subscriptions/*"], read=["ann"], append=["ann", "bob"], manage=["ann"]),
    StreamAccess(streams=["plant-a/wake/ann"], append=["ann"]),
    StreamAccess(streams=["plant-a/one", "plant-a/two"], read=["ann"]),
    StreamAccess(streams=["plant-a/__ds/subscriptions/open"], manage=[ANYONE]),
]


def client(name: str | None) -> Caller:
    return Caller(Owner(operator=False, client=name), AccessList(ACCESS))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 201),
        ({"pattern": "events/**/x"}, 201),
        ({"pattern": "events/a/*"}, 201),
        ({"pattern": "one"}, 201),
        ({"pattern": None, "streams": ["one", "two", "events/a"]}, 201),
        ({"pattern": "events/**"}, 403),
        ({"pattern": "**"}, 403),
        ({"pattern": "*"}, 403),
        ({"pattern": "*/events"}, 403),
        ({"pattern": "one/*"}, 403),
        ({"pattern": "event"}, 403),
        ({"streams": ["three"]}, 403),
        ({"type": "pull-wake", "wake_stream": "wake/ann"}, 201),
        ({"type": "pull-wake", "wake_stream": "wake/bob"}, 403),
    ],
)
def test_a_client_subscribes_to_what_it_may_read_and_no_more(change: dict[str, object], status: int):
    async def story(node: Subscribed) -> None:
        for path in ("wake/ann", "wake/bob"):
            await node.append(path)
        response = await node("PUT", SUBSCRIPTION, {**HOOK, **change}, caller=client("ann"))
        assert response.status == status, response.body

    play(story)


def test_each_call_needs_its_right_to_the_subscription():
    async def story(node: Subscribed) -> None:
        await node.append("wake/ann", {"n": 0})
        body = {**POOL, "wake_stream": "wake/ann"}
        assert (await node("PUT", SUBSCRIPTION, body, caller=client("ann"))).status == 201
        calls = {
            "PUT": ("", body),
            "GET": ("", None),
            "POST": ("/streams", {"streams": ["events/x"]}),
            "DELETE": ("", None),
        }
        for who, refusal in ((None, (401, "UNAUTHENTICATED")), ("bob", (403, "FORBIDDEN"))):
            for method, (rest, sent) in calls.items():
                assert await node.refused(method, f"{SUBSCRIPTION}{rest}", sent, caller=client(who)) == refusal
            remove = f"{SUBSCRIPTION}/streams/events/x"
            assert await node.refused("DELETE", remove, caller=client(who)) == refusal
        nobody = await node.refused("POST", f"{SUBSCRIPTION}/claim", {"worker": "w"}, caller=client(None))
        assert nobody == (401, "UNAUTHENTICATED")
        there = await node.refused("POST", f"{SUBSCRIPTION}/claim", {"worker": "w"}, caller=client("bob"))
        assert there == (409, "NO_PENDING_WORK")
        secret = {"streams": ["secret"]}
        assert await node.refused("POST", f"{SUBSCRIPTION}/streams", secret, caller=client("ann")) == (403, "FORBIDDEN")
        assert (await node("POST", f"{SUBSCRIPTION}/streams", {"streams": ["one"]}, caller=client("ann"))).status == 204
        assert await node.refused("PUT", "__ds/subscriptions/open", HOOK, caller=client(None)) == (
            401,
            "UNAUTHENTICATED",
        )

    play(story)


def test_what_its_maker_may_not_read_any_more_is_not_told_of():
    async def story(node: Subscribed) -> None:
        body = {**HOOK, "pattern": "**"}
        everything = AccessList([StreamAccess(streams=["*"], read=["ann"], manage=["ann"])])
        before = Caller(Owner(operator=False, client="ann"), everything)
        assert (await node("PUT", SUBSCRIPTION, body, caller=before)).status == 201
        await node.append("secret", {"n": 1})
        await node.append("events/a", {"n": 1})
        post = await node.posted(1)
        await node.append("secret", {"n": 2})
        call = {"wake_id": post.body["wake_id"], "generation": 1, "done": True}
        call |= {"acks": [{"stream": "events/a", "offset": format_offset(1)}]}
        answer = await node.json("POST", f"{SUBSCRIPTION}/callback", call, post.body["callback_token"])
        assert answer["next_wake"] is False
        await asyncio.sleep(60)
        assert [set(each.streams) for each in node.receiver.posts] == [{"events/a"}]

    play(story, Streams(access=ACCESS))


def test_the_key_is_made_when_it_is_needed_and_kept():
    async def story(node: Subscribed) -> None:
        assert node.sim.disk.read(KEY_PATH) is None
        keys = (await node("GET", "__ds/jwks.json")).body
        assert node.sim.disk.read(KEY_PATH) is not None
        await node.stop()
        again = Subscribed(node.sim, node.store, node.receiver)
        assert (await again("GET", "__ds/jwks.json")).body == keys
        await again.stop()

    play(story)
