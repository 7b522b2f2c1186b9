"""Webhook subscriptions: wakes, answers, callbacks, leases, retries."""

import asyncio
import base64
import itertools
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from littoral.core.http import Response
from littoral.streams.subscriptions.wakes import Wakes
from littoral.wire.durable_streams import format_offset
from tests.support.subscribed import SUBSCRIPTION, URL, Post, Subscribed, play

CALLBACK = f"{SUBSCRIPTION}/callback"


def call(post: Post, *acks: tuple[str, int], done: bool = True) -> dict[str, object]:
    body = post.body
    said = [{"stream": stream, "offset": format_offset(offset)} for stream, offset in acks]
    return {"wake_id": body["wake_id"], "generation": body["generation"], "acks": said, "done": done}


def token(post: Post) -> str:
    return str(post.body["callback_token"])


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_an_append_is_told_of_and_done_acknowledges_what_was_told():
    async def story(node: Subscribed) -> None:
        node.receiver.says(200, b'{"done": true}')
        await node.append("events/old", {"n": 0})
        await node.webhook()
        await node.append("events/a", {"n": 1}, {"n": 2})
        post = await node.posted(1)
        assert post.url == URL
        assert post.body["subscription_id"] == "s"
        assert post.body["callback_url"] == f"http://here:1/v1/stream/{CALLBACK}"
        assert post.streams["events/a"]["acked_offset"] == format_offset(0)
        assert post.streams["events/a"]["link_type"] == "glob"
        assert "events/old" not in post.streams, "what was there before is not told of"
        await node.until(lambda: node.subscriptions.state().waking == 0)
        told = node.receiver.posts[-1].streams["events/a"]["tail_offset"]
        assert await node.acked() == {"events/a": told, "events/old": format_offset(1)}
        wakes = len(node.receiver.posts)
        await asyncio.sleep(100)
        assert len(node.receiver.posts) == wakes, "nothing to do, nobody woken"

    play(story)


def test_the_signature_is_of_the_time_and_the_body_by_the_key_that_is_published():
    async def story(node: Subscribed) -> None:
        made = await node.webhook()
        await node.append("events/a", {"n": 1})
        post = await node.posted(1)
        parts = dict(part.split("=", 1) for part in post.headers["webhook-signature"].split(","))
        answer = await node("GET", "__ds/jwks.json")
        (key,) = json.loads(answer.body)["keys"]
        assert ("Content-Type", "application/jwk-set+json") in list(answer.headers)
        signing = made["webhook"]["signing"]
        assert signing == {"alg": "ed25519", "kid": key["kid"], "jwks_url": "http://here:1/v1/stream/__ds/jwks.json"}
        assert parts["kid"] == key["kid"]
        public = Ed25519PublicKey.from_public_bytes(from_base64url(key["x"]))
        signature = from_base64url(parts["ed25519"])
        public.verify(signature, f"{parts['t']}.".encode() + post.raw)
        with pytest.raises(InvalidSignature):
            public.verify(signature, f"{int(parts['t']) + 1}.".encode() + post.raw)

    play(story)


def test_one_wake_is_in_flight_and_what_comes_meanwhile_gives_the_next():
    async def story(node: Subscribed) -> None:
        await node.webhook()
        await node.append("events/a", {"n": 1})
        first = await node.posted(1)
        await node.append("events/a", {"n": 2})
        await node.append("events/b", {"n": 1})
        await asyncio.sleep(20)
        assert len(node.receiver.posts) == 1, "the lease is not over"
        answer = await node.json("POST", CALLBACK, call(first, ("events/a", 1)), token(first))
        assert answer == {"ok": True, "next_wake": True}
        second = await node.posted(2)
        assert second.body["generation"] == first.body["generation"] + 1
        assert second.body["wake_id"] != first.body["wake_id"]
        assert set(second.streams) == {"events/a", "events/b"}
        assert second.streams["events/a"]["acked_offset"] == format_offset(1)

    play(story)


def test_a_call_of_a_wake_that_is_over_changes_nothing():
    async def story(node: Subscribed) -> None:
        await node.webhook(lease_ttl_ms=1000)
        await node.append("events/a", {"n": 1})
        first = await node.posted(1)
        second = await node.posted(2)
        fenced = (409, "FENCED")
        assert await node.refused("POST", CALLBACK, call(first, ("events/a", 1)), token=token(first)) == fenced
        mixed = call(first, ("events/a", 1))
        assert await node.refused("POST", CALLBACK, mixed, token=token(second)) == fenced
        assert await node.refused("POST", CALLBACK, call(second, ("events/a", 1)), token=token(first)) == fenced
        assert await node.acked() == {"events/a": format_offset(0)}
        await node.json("POST", CALLBACK, call(second, ("events/a", 1)), token(second))
        assert await node.refused("POST", CALLBACK, call(second, ("events/a", 1)), token=token(second)) == fenced

    play(story)


def test_a_lease_that_is_over_is_over_before_anybody_noticed():
    async def story(node: Subscribed) -> None:
        await node.webhook(lease_ttl_ms=1000)
        await node.append("events/a", {"n": 1})
        post = await node.posted(1)
        await asyncio.sleep(0.1)
        node.sim.clock.step(2000)
        refused = await node.refused("POST", CALLBACK, call(post, ("events/a", 1)), token=token(post))
        assert refused == (409, "FENCED")

    play(story)


def test_a_call_that_is_not_done_extends_the_lease():
    async def story(node: Subscribed) -> None:
        await node.webhook(lease_ttl_ms=1000)
        await node.append("events/a", {"n": 1})
        post = await node.posted(1)
        for _ in range(10):
            await asyncio.sleep(0.8)
            await node.json("POST", CALLBACK, call(post, done=False), token(post))
        assert len(node.receiver.posts) == 1
        await node.posted(2)

    play(story)


def test_calls_that_extend_a_lease_leave_nothing_behind():
    async def story(node: Subscribed) -> None:
        dispatcher = node.subscriptions._dispatcher
        await node.webhook(lease_ttl_ms=600_000)
        await node.append("events/a", {"n": 1})
        post = await node.posted(1)
        for _ in range(100):
            await asyncio.sleep(0.1)
            await node.json("POST", CALLBACK, call(post, done=False), token(post))
        held = [each for each in vars(dispatcher).values() if isinstance(each, list | dict | set)]
        await asyncio.sleep(0.1)
        assert sum(map(len, held)) == 1
        await node("DELETE", SUBSCRIPTION)
        await asyncio.sleep(0.1)
        assert sum(map(len, held)) == 0

    play(story)


def test_a_pause_after_which_there_is_nothing_to_do_ends_in_a_look(monkeypatch: pytest.MonkeyPatch):
    async def story(node: Subscribed) -> None:
        index = node.subscriptions._dispatcher.index
        look, looks = index.entry, 0

        def counted(key: str) -> object:
            nonlocal looks
            looks += 1
            assert looks < 100, "it does nothing else"
            return look(key)

        await node.webhook()
        await node.append("events/a", {"n": 1})
        post = await node.posted(1)
        await node.json("POST", CALLBACK, call(post), token(post))
        await node("DELETE", "events/a")
        monkeypatch.setattr(index, "entry", counted)
        await asyncio.sleep(100)
        assert 0 < looks < 10
        await node.append("events/b", {"n": 2})
        await node.posted(2)

    play(story)


def test_a_receiver_that_fails_is_tried_again_with_the_same_wake_ever_more_seldom():
    async def story(node: Subscribed) -> None:
        node.receiver.says(500)
        await node.webhook()
        times: list[float] = []
        answer = node.receiver.answer

        def noted(post: Post) -> Response:
            times.append(asyncio.get_running_loop().time())
            response = answer(post)
            assert isinstance(response, Response)
            return response

        node.receiver.answer = noted
        await node.append("events/a", {"n": 1})
        await node.posted(9)
        pauses = [after - before for before, after in itertools.pairwise(times)]
        for pause, usual in zip(pauses, (1, 2, 4, 8, 16, 32, 60, 60), strict=True):
            assert usual * 0.8 <= pause <= usual * 1.2 + 0.1
        bodies = {post.raw for post in node.receiver.posts}
        assert len(bodies) == 1, "the same wake, by the same token"
        await asyncio.sleep(0.1)
        shown = await node.read()
        assert (shown["status"], shown["last_error"]) == ("failed", f"{URL} answered 500")
        state = node.subscriptions.state()
        assert (state.failing, state.failures) == (1, {"own/s": f"{URL} answered 500"})
        assert state.counters.failed == 9
        node.receiver.says(200, b'{"done": true}')
        await node.posted(10)
        await asyncio.sleep(0.1)
        assert (await node.read())["status"] == "active"
        assert await node.acked() == {"events/a": format_offset(1)}

    play(story)


def test_a_delivery_that_fails_in_a_way_nobody_thought_of_is_a_failed_delivery(caplog: pytest.LogCaptureFixture):
    async def story(node: Subscribed) -> None:
        node.receiver.answer = lambda post: ValueError("invalid international domain name")
        await node.webhook()
        await node.append("events/a", {"n": 1})
        await node.posted(3)
        shown = await node.read()
        assert shown["status"] == "failed"
        assert shown["last_error"] == f"the node failed to call {URL}; its log has the reason"
        node.receiver.says(200, b'{"done": true}')
        await node.posted(4)
        await node.until(lambda: node.subscriptions.state().waking == 0)
        assert await node.acked() == {"events/a": format_offset(1)}

    play(story)
    assert "invalid international domain name" in caplog.text


def test_a_url_that_cannot_be_posted_to_is_refused_and_of_one_that_was_let_in_earlier_the_wake_fails():
    async def story(node: Subscribed) -> None:
        await node.webhook()
        node.receiver.unreadable.add(URL)
        other = {"type": "webhook", "pattern": "events/*", "webhook": {"url": URL}}
        refused = await node.refused("PUT", "__ds/subscriptions/other", other)
        assert refused == (400, "WEBHOOK_URL_REJECTED")
        await node.append("events/a", {"n": 1})
        await node.until(lambda: node.subscriptions.state().failing)
        assert node.receiver.posts == []

    play(story)


def test_whatever_goes_wrong_in_the_work_on_one_subscription_the_node_goes_on(monkeypatch: pytest.MonkeyPatch):
    async def story(node: Subscribed) -> None:
        node.receiver.says(200, b'{"done": true}')
        await node.webhook()

        def begin(*args: object, **more: object) -> bool:
            raise RuntimeError("nobody thought of this")

        with monkeypatch.context() as patched:
            patched.setattr(Wakes, "begin", begin)
            await node.append("events/a", {"n": 1})
            await node.until(lambda: node.warnings)
            assert "nobody thought of this" in node.warnings[0]
        await node.posted(1)

    play(story)


@pytest.mark.parametrize("status", [199, 301, 302, 307, 404, 429, 503])
def test_what_is_not_2xx_is_a_failure(status: int):
    async def story(node: Subscribed) -> None:
        node.receiver.says(status, b'{"done": true}')
        await node.webhook()
        await node.append("events/a", {"n": 1})
        await node.posted(2)
        assert await node.acked() == {"events/a": format_offset(0)}

    play(story)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"done": false}', b'{"done": 1}', b"[1]", b"\xff", b"[" * 5000])
def test_an_answer_that_does_not_say_done_is_followed_by_a_callback_or_by_the_next_wake(body: bytes):
    async def story(node: Subscribed) -> None:
        node.receiver.says(200, body)
        await node.webhook(lease_ttl_ms=1000)
        await node.append("events/a", {"n": 1})
        post = await node.posted(1)
        await asyncio.sleep(0.1)
        assert (await node.read())["status"] == "active"
        await node.json("POST", CALLBACK, call(post, ("events/a", 1)), token(post))
        assert await node.acked() == {"events/a": format_offset(1)}

    play(story)


def test_a_callback_may_come_before_the_answer_to_the_webhook():
    async def story(node: Subscribed) -> None:
        async def calls_back_first(post: Post) -> Response:
            await node.json("POST", CALLBACK, call(post, ("events/a", 1)), token(post))
            await asyncio.sleep(5)
            return Response(500)

        node.receiver.answer = calls_back_first
        await node.webhook()
        await node.append("events/a", {"n": 1})
        await asyncio.sleep(60)
        assert len(node.receiver.posts) == 1, "the wake was over when its answer failed"
        assert (await node.read())["status"] == "active"

    play(story)


def test_done_without_progress_does_not_wake_in_a_tight_loop():
    async def story(node: Subscribed) -> None:
        async def does_nothing(post: Post) -> Response:
            await node.json("POST", CALLBACK, call(post), token(post))
            return Response(200)

        node.receiver.answer = does_nothing
        await node.webhook()
        await node.append("events/a", {"n": 1})
        await asyncio.sleep(10)
        assert 5 <= len(node.receiver.posts) <= 11

    play(story)


def test_an_answer_takes_back_nothing_of_what_a_callback_acknowledged():
    async def story(node: Subscribed) -> None:
        async def reads_on(post: Post) -> Response:
            await node.append("events/a", {"n": 2})
            await node.json("POST", CALLBACK, call(post, ("events/a", 2), done=False), token(post))
            return Response(200, (), b'{"done": true}')

        node.receiver.answer = reads_on
        await node.append("events/a")
        await node.webhook()
        await node.append("events/a", {"n": 1})
        post = await node.posted(1)
        assert post.streams["events/a"]["tail_offset"] == format_offset(1)
        await asyncio.sleep(60)
        assert await node.acked() == {"events/a": format_offset(2)}
        assert len(node.receiver.posts) == 1

    play(story)


def test_a_subscription_that_was_deleted_is_called_back_in_vain_also_once_there_is_another():
    async def story(node: Subscribed) -> None:
        await node.webhook()
        await node.append("events/a", {"n": 1})
        old = await node.posted(1)
        assert (await node("DELETE", SUBSCRIPTION)).status == 204
        gone = (404, "SUBSCRIPTION_NOT_FOUND")
        assert await node.refused("POST", CALLBACK, call(old, ("events/a", 1)), token=token(old)) == gone
        await node.webhook()
        await node.append("events/a", {"n": 2})
        new = await node.posted(2)
        assert new.body["generation"] > old.body["generation"]
        assert await node.refused("POST", CALLBACK, call(old, ("events/a", 2)), token=token(old)) == (409, "FENCED")
        assert await node.acked() == {"events/a": format_offset(1)}, "where the stream was when it was made again"

    play(story)


def test_the_answer_to_a_webhook_of_a_deleted_subscription_acknowledges_nothing_of_the_next():
    async def story(node: Subscribed) -> None:
        async def slow(post: Post) -> Response:
            await asyncio.sleep(5)
            return Response(200, (), b'{"done": true}')

        node.receiver.answer = slow
        await node.webhook(streams=["events/x"])
        await node.append("events/a", {"n": 1})
        await node.posted(1)
        await node("DELETE", SUBSCRIPTION)
        node.receiver.says(200)
        await node.append("other/a", {"n": 1})
        await node.webhook("other/*", streams=["events/a"])
        await node.append("events/a", {"n": 2})
        await asyncio.sleep(20)
        assert (await node.acked())["events/a"] == format_offset(1)

    play(story)


def test_a_silent_receiver_holds_up_itself_only():
    async def story(node: Subscribed) -> None:
        async def silent(post: Post) -> Response:
            if post.body["subscription_id"] == "s":
                await asyncio.sleep(post.timeout_s)
            return Response(200, (), b'{"done": true}')

        node.receiver.answer = silent
        await node.webhook()
        other = {"type": "webhook", "pattern": "events/*", "webhook": {"url": URL}}
        await node.json("PUT", "__ds/subscriptions/other", other)
        for n in range(5):
            await node.append("events/a", {"n": n})
            await asyncio.sleep(1)
        told = [post.body["subscription_id"] for post in node.receiver.posts]
        assert (told.count("s"), told.count("other")) == (1, 5)

    play(story)


def test_no_more_are_woken_at_once_than_the_limit_and_all_in_the_end():
    async def story(node: Subscribed) -> None:
        at_once: list[int] = []
        now: set[str] = set()

        async def slow(post: Post) -> Response:
            now.add(post.body["subscription_id"])
            at_once.append(len(now))
            await asyncio.sleep(1)
            now.remove(post.body["subscription_id"])
            return Response(200, (), b'{"done": true}')

        node.receiver.answer = slow
        for n in range(7):
            body = {"type": "webhook", "pattern": "events/*", "webhook": {"url": URL}}
            await node.json("PUT", f"__ds/subscriptions/s{n}", body)
        await node.append("events/a", {"n": 1})
        await node.posted(7)
        assert max(at_once) == 2
        assert node.sim.limits.reached["wakes-in-flight"] > 0

    play(story, wakes_in_flight=2)


def test_a_wake_tells_of_as_many_streams_as_a_body_holds_and_the_others_are_next():
    async def story(node: Subscribed) -> None:
        paths = [f"events/{n}" for n in range(40)]
        for path in paths:
            await node.append(path)
        await node.webhook()
        for path in paths:
            await node.append(path, {"n": 1})
        node.receiver.says(200, b'{"done": true}')
        await node.posted(4)
        await node.until(lambda: node.subscriptions.state().waking == 0)
        assert all(len(post.raw) <= 4096 for post in node.receiver.posts)
        assert {path for post in node.receiver.posts for path in post.streams} == set(paths)
        assert set((await node.acked()).values()) == {format_offset(1)}

    play(story, webhook_body_bytes=4096)


def test_an_unfinished_stream_does_not_starve_the_others():
    async def story(node: Subscribed) -> None:
        paths = [f"events/{n}" for n in range(30)]
        for path in paths:
            await node.append(path)
        await node.webhook(lease_ttl_ms=1000)
        for path in paths:
            await node.append(path, {"n": 1})
        await asyncio.sleep(20)
        assert {path for post in node.receiver.posts for path in post.streams} == set(paths)

    play(story, webhook_body_bytes=2048)


def test_a_clock_that_goes_back_delays_nothing_for_long():
    async def story(node: Subscribed) -> None:
        await node.webhook(lease_ttl_ms=1000)
        await node.append("events/a", {"n": 1})
        await node.posted(1)
        node.sim.clock.step(-1_000_000)
        at_s = asyncio.get_running_loop().time()
        await node.posted(2)
        assert asyncio.get_running_loop().time() - at_s < 120

    play(story)


def test_a_disk_that_cannot_be_read_at_the_start_delays_what_there_is_to_do():
    async def story(node: Subscribed) -> None:
        sim = node.sim
        node.receiver.is_away()
        await node.webhook()
        await node.append("events/a", {"n": 1})
        await node.posted(1)
        await node.stop()
        await sim.close()
        store = sim.open()
        node.receiver.says(200, b'{"done": true}')
        sim.disk.failing = True
        again = Subscribed(sim, store, node.receiver)
        await asyncio.sleep(20)
        assert any("the simulated disk fails" in warning for warning in again.warnings)
        told = len(node.receiver.posts)
        sim.disk.failing = False
        await again.until(lambda: len(node.receiver.posts) > told)
        await again.until(lambda: again.subscriptions.state().waking == 0)
        assert await again.acked() == {"events/a": format_offset(1)}
        await again.stop()

    play(story)
