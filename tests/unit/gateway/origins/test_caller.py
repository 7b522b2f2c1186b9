"""Requests to a pool: who is asked, who is asked next, and what is counted. In virtual time."""

import asyncio
from typing import Any

import pytest

from littoral.core.errors import Unavailable
from littoral.gateway.exchange import ClientGone
from littoral.gateway.notes import Notes
from littoral.gateway.origins.settings import Balance, Breaking, Crowding, PassiveHealth, Retrying, Target
from littoral.gateway.origins.transport import Endpoint, OriginFailed, OriginRequest, OriginTimeouts
from littoral.testing.loop import run
from tests.support.pools import Answer, Scripted, caller_of, failed

GET = OriginRequest("GET", "/", ())
POST = OriginRequest("POST", "/", (), b"x")


async def body():
    yield b"x"


def story(*hosts, request=GET, count=1, settings=None, **scripts):
    """(what each request came to, who was asked, the caller)."""

    async def main():
        transport = Scripted(**scripts)
        caller = caller_of(transport, *hosts, **(settings or {}))
        said: list[Any] = []
        for _ in range(count):
            try:
                answered = await caller.call(request)
            except OriginFailed as failure:
                said.append(failure.stage)
            except Unavailable:
                said.append("unavailable")
            else:
                said.append((answered.answer.status, answered.target, answered.tries))
        assert all(each.inflight == 0 for each in caller.pool.members)
        return said, "".join(transport.asked), caller

    return run(main)


def test_an_answer_says_who_gave_it():
    said, asked, caller = story("a", "b", count=3)
    assert said == [(200, "http://a:80", 1), (200, "http://b:80", 1), (200, "http://a:80", 1)]
    assert asked == "aba"
    assert [each.meter.requests for each in caller.pool.members] == [2, 1]


def test_each_target_is_sent_the_host_that_it_has():
    async def main():
        transport = Scripted(a=[503])
        named = Target(Endpoint("http", "a", 80), host="a.shop.test")
        caller = caller_of(transport, named, "b")
        await caller.call(OriginRequest("GET", "/", (("x", "y"), ("host", "shop.test"))))
        for _ in range(2):
            await caller.switch(OriginRequest("GET", "/", (("host", "shop.test"),)))
        return [each.fields for each in transport.requests]

    assert run(main) == [
        [("x", "y"), ("host", "a.shop.test")],
        (("x", "y"), ("host", "shop.test")),
        (("host", "shop.test"),),
        [("host", "a.shop.test")],
    ]


@pytest.mark.parametrize("stage", ["connect", "send", "head", "body"])
def test_what_fails_is_tried_elsewhere(stage):
    said, asked, caller = story("a", "b", a=[failed(stage)])
    assert said == [(200, "http://b:80", 2)]
    assert asked == "ab"
    assert [each.meter.failures for each in caller.pool.members] == [1, 0]
    assert [each.meter.retries for each in caller.pool.members] == [0, 1]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_answer_may_ask_for_it_too(status):
    first = Answer(status, (b"x",))
    said, asked, _ = story("a", "b", a=[first])
    assert (said, asked, first.is_closed) == ([(200, "http://b:80", 2)], "ab", True)
    assert story("a", "b", a=[500])[1] == "a"


@pytest.mark.parametrize(("status", "failures"), [(200, 0), (404, 0), (500, 0), (502, 1), (503, 1), (504, 1)])
def test_some_answers_count_as_failures(status, failures):
    assert story("a", a=[status])[2].pool.members[0].meter.failures == failures


def test_an_answer_is_kept_where_nobody_else_can_give_another():
    assert story("a", a=[503])[:2] == ([(503, "http://a:80", 1)], "a")
    assert story("a", "b", a=[503], b=[503])[:2] == ([(503, "http://b:80", 2)], "ab")


@pytest.mark.parametrize("request_", [POST, OriginRequest("PUT", "/", (), body(), None)])
def test_what_may_do_harm_twice_is_not_tried_again_once_it_was_sent(request_):
    assert story("a", "b", request=request_, a=[failed("head")])[:2] == (["head"], "a")
    assert story("a", "b", request=request_, a=[failed("send")])[:2] == (["send"], "a")
    assert story("a", "b", request=request_, a=[503])[:2] == ([(503, "http://a:80", 1)], "a")
    assert story("a", "b", request=request_, a=[failed("connect")])[1] == "ab"


def test_tries_have_a_bound_and_nobody_is_tried_twice():
    fails = {name: [failed()] * 5 for name in "abcde"}
    assert story(*"abcde", **fails)[:2] == (["connect"], "abc")
    assert story(*"abcde", settings={"retrying": Retrying(tries=1)}, **fails)[1] == "a"
    assert story("a", "b", **fails)[1] == "ab"


def test_retries_have_a_budget():
    fails = {name: [failed()] * 1000 for name in "ab"}
    settings = {
        "retrying": Retrying(budget_share=0.1, budget_per_s=0),
        "passive": PassiveHealth(failures_in_a_row=10_000, window_requests=10_000),
        "breaking": Breaking(failures_in_a_row=0),
    }
    _, asked, caller = story("a", "b", count=500, settings=settings, **fails)
    assert 500 + 45 <= len(asked) <= 500 + 62
    assert caller._meter.over_budget == 1000 - len(asked)


def test_a_deadline_ends_the_tries():
    settings = {"retrying": Retrying(tries=5, deadline_s=10), "timeouts": OriginTimeouts(5, 60, 60)}
    slow = {name: [4.0] for name in "abcde"}
    said, asked, caller = story(*"abcde", settings=settings, **slow)
    assert (said, asked) == (["head"], "abc")
    heads = [each.head_s for each in caller._transport.timeouts]
    assert heads == [60, 6, 2]
    assert [each.connect_s for each in caller._transport.timeouts] == [5, 5, 2]


def test_a_target_that_only_fails_is_left_alone_and_tried_again():
    settings = {"breaking": Breaking(failures_in_a_row=3, open_s=5), "retrying": Retrying(tries=1)}

    async def main():
        transport = Scripted(a=[failed()] * 3 + [failed()])
        caller = caller_of(transport, "a", **settings)
        said: list[Any] = []
        for at_s in (0, 0, 0, 0, 5, 5, 14.9, 15, 15):
            await asyncio.sleep(at_s - asyncio.get_running_loop().time())
            try:
                said.append((await caller.call(GET)).answer.status)
            except OriginFailed:
                said.append("failed")
            except Unavailable as error:
                said.append("unavailable" if error.subject == "pool" else error)
        caller.look()
        assert caller.pool.members[0].meter.is_healthy
        assert caller._meter.unavailable == 3
        return said

    f, u = "failed", "unavailable"
    assert run(main) == [f, f, f, u, f, u, u, 200, 200]


def test_the_meters_say_who_is_ill():
    settings = {"passive": PassiveHealth(failures_in_a_row=1)}
    caller = story("a", "b", a=[failed()], settings=settings)[2]
    caller.look()
    assert [each.meter.is_healthy for each in caller.pool.members] == [False, True]


def test_what_the_body_raises_is_nobodys_failure():
    async def main():
        transport = Scripted(a=[ClientGone()])
        caller = caller_of(transport, "a", "b")
        with pytest.raises(ClientGone):
            await caller.call(GET)
        [member, _] = caller.pool.members
        assert (member.inflight, member.meter.failures, transport.asked) == (0, 0, ["a"])

    run(main)


def test_a_request_that_is_given_up_is_no_failure_and_leaves_room():
    async def main():
        transport = Scripted(a=[failed(), asyncio.get_running_loop().create_future()])
        caller = caller_of(transport, "a", breaking=Breaking(failures_in_a_row=1, open_s=5))
        with pytest.raises(OriginFailed):
            await caller.call(GET)
        await asyncio.sleep(5)
        trial = asyncio.ensure_future(caller.call(GET))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await caller.call(GET)
        trial.cancel()
        await asyncio.gather(trial, return_exceptions=True)
        assert (caller.pool.members[0].inflight, caller.pool.members[0].meter.failures) == (0, 1)
        assert (await caller.call(GET)).answer.status == 200, "the trial is the next one's"

    run(main)


@pytest.mark.parametrize("end", ["read", "closed", "broken", "cancelled"])
def test_an_answer_is_under_way_until_it_has_ended(end):
    async def main():
        pieces = (b"1", failed("body")) if end == "broken" else (b"1", b"2")
        answer = Answer(200, pieces if end != "cancelled" else (asyncio.CancelledError(),))
        answer.trailers = (("t", "v"),)
        caller = caller_of(Scripted(a=[answer]), "a")
        [member] = caller.pool.members
        answered = await caller.call(GET)
        assert (member.inflight, member.meter.inflight) == (1, 1)
        if end == "closed":
            answered.answer.close()
            answered.answer.close()
            assert answer.is_closed
        elif end == "cancelled":
            with pytest.raises(asyncio.CancelledError):
                await answered.answer.read()
            assert answer.is_closed
        else:
            assert await answered.answer.read() == b"1"
            if end == "broken":
                with pytest.raises(OriginFailed):
                    await answered.answer.read()
            else:
                assert [await answered.answer.read() for _ in range(3)] == [b"2", b"", b""]
                assert answered.answer.trailers == (("t", "v"),)
        assert (member.inflight, member.meter.inflight, member.meter.failures) == (0, 0, int(end == "broken"))

    run(main)


def test_the_latency_is_a_moving_mean():
    async def main():
        future = asyncio.get_running_loop().create_future()
        caller = caller_of(Scripted(a=[future]), "a")
        asyncio.get_running_loop().call_later(2, future.set_result, Answer())
        await caller.call(GET)
        meter = caller.pool.members[0].meter
        assert meter.latency_s == pytest.approx(2)
        await caller.call(GET)
        assert meter.latency_s == pytest.approx(1.8)

    run(main)


def test_affinity_and_hash_are_heeded():
    async def main():
        caller = caller_of(Scripted(), *"abcdef", balance=Balance("consistent-hash"))
        first = await caller.call(GET, hash_key="key")
        for _ in range(5):
            assert (await caller.call(GET, hash_key="key")).target == first.target
        other = await caller.call(GET, hash_key="other key")
        assert (await caller.call(GET, hash_key="key", affinity=other.mark)).target == other.target

    run(main)


def test_a_request_waits_for_room_and_is_served_in_turn():
    async def main():
        loop = asyncio.get_running_loop()
        held = [loop.create_future() for _ in range(2)]
        transport = Scripted(a=list(held))
        caller = caller_of(transport, "a", crowding=Crowding(target_requests=2, waiting=2, wait_s=5))
        done = []

        async def ask(name):
            await caller.call(GET)
            done.append(name)

        tasks = [asyncio.ensure_future(ask(name)) for name in "abcd"]
        await asyncio.sleep(1)
        assert (len(transport.asked), caller._meter.waiting) == (2, 2)
        with pytest.raises(Unavailable, match="no more may wait"):
            await caller.call(GET)
        held[1].set_result(Answer())
        await asyncio.sleep(1)
        assert done == ["b", "c", "d"]
        held[0].set_result(Answer())
        await asyncio.gather(*tasks)
        assert (caller._meter.waiting, caller._meter.refused) == (0, 1)

    run(main)


def test_nobody_waits_for_room_for_ever():
    async def main():
        loop = asyncio.get_running_loop()
        held = loop.create_future()
        caller = caller_of(Scripted(a=[held]), "a", crowding=Crowding(target_requests=1, wait_s=5))
        first = asyncio.ensure_future(caller.call(GET))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await caller.call(GET)
        assert loop.time() == 5
        held.set_result(Answer())
        await first
        assert (await caller.call(GET)).answer.status == 200

    run(main)


def test_a_place_given_to_one_who_leaves_goes_to_the_next():
    async def main():
        held = asyncio.get_running_loop().create_future()
        caller = caller_of(Scripted(a=[held]), "a", crowding=Crowding(target_requests=1, wait_s=5))
        first, leaving, last = [asyncio.ensure_future(caller.call(GET)) for _ in range(3)]
        await asyncio.sleep(1)
        held.set_result(Answer())
        await first
        leaving.cancel()
        assert (await last).answer.status == 200
        assert asyncio.get_running_loop().time() == 1

    run(main)


def test_an_upgrade_that_is_given_up_leaves_room():
    async def main():
        caller = caller_of(Scripted(a=[asyncio.get_running_loop().create_future()]), "a")
        task = asyncio.ensure_future(caller.switch(GET))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert caller.pool.members[0].inflight == 0

    run(main)


def test_a_switched_connection_is_under_way_until_it_is_closed():
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_later(2, future.set_result, Answer(101))
        transport = Scripted(a=[failed()], b=[future])
        caller = caller_of(transport, "a", "b")
        answered, way = await caller.switch(GET)
        assert (answered.answer.status, answered.target, answered.tries) == (101, "http://b:80", 2)
        member = caller.pool.members[1]
        assert member.inflight == 1
        assert member.meter.latency_s == pytest.approx(2)
        assert way is not None
        way.close()
        way.close()
        assert member.inflight == 0
        assert transport.ways[0].is_closed

    run(main)


def test_an_upgrade_that_was_sent_is_not_tried_again():
    async def main():
        caller = caller_of(Scripted(a=[failed("head")]), "a", "b")
        with pytest.raises(OriginFailed):
            await caller.switch(GET)
        assert [each.inflight for each in caller.pool.members] == [0, 0]
        answered, way = await caller.switch(GET)
        assert (answered.answer.status, way) == (200, None)
        assert [each.inflight for each in caller.pool.members] == [0, 0]

    run(main)


def test_each_wait_and_each_try_is_a_step_of_the_request():
    async def main():
        loop = asyncio.get_running_loop()
        held, broken = loop.create_future(), failed("connect")
        caller = caller_of(Scripted(a=[held], b=[broken]), "a", "b", crowding=Crowding(target_requests=1, wait_s=5))
        first = asyncio.ensure_future(caller.call(GET))
        await asyncio.sleep(0)
        retried = Notes(loop.time, loop.time())
        with pytest.raises(OriginFailed):
            await caller.call(OriginRequest("GET", "/", (), notes=retried))
        caller.pool.members[1].inflight += 1
        waited = Notes(loop.time, loop.time())
        second = asyncio.ensure_future(caller.call(OriginRequest("GET", "/", (), notes=waited)))
        await asyncio.sleep(2)
        held.set_result(Answer())
        await asyncio.gather(first, second)
        shown = [
            [(each.name, each.detail, each.status, each.failure) for each in notes.steps] for notes in (retried, waited)
        ]
        assert shown == [
            [("origin", "http://b:80", 0, str(broken))],
            [("wait for room", "", 0, ""), ("origin", "http://a:80", 200, "")],
        ]
        assert waited.steps[0].length_ms == pytest.approx(2000)

    run(main)


def test_an_upgrade_is_a_step_too():
    async def main():
        loop = asyncio.get_running_loop()
        notes = Notes(loop.time, loop.time())
        caller = caller_of(Scripted(a=[101]), "a")
        await caller.switch(OriginRequest("GET", "/", (), notes=notes))
        assert [(each.name, each.detail, each.status) for each in notes.steps] == [("origin", "http://a:80", 101)]

    run(main)
