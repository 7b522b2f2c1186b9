"""The Durable Streams protocol over a real store; requests and answers read like HTTP."""

import asyncio
import json
import os
from pathlib import Path

from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.wire.durable_streams import format_offset
from tests.support.stream_client import JSON, TEXT, StreamNode, field, opened, play, tail


def test_create_append_read(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        created = await node("PUT", "lines/one", headers=TEXT)
        assert (created.status, tail(created)) == (201, 0)
        assert field(created, "location") == "http://here:1/v1/streams/plant-a/lines/one"
        appended = await node("POST", "lines/one", b"hello ", TEXT)
        assert (appended.status, tail(appended)) == (204, 1)
        await node("POST", "lines/one", b"world", TEXT)
        read = await node("GET", "lines/one")
        assert (read.status, read.body, tail(read)) == (200, b"hello world", 2)
        assert field(read, "stream-up-to-date") == "true"
        assert field(read, "x-content-type-options") == "nosniff"
        assert (await node("GET", "lines/one?offset=0000000000000000_0000000000000001")).body == b"world"
        head = await node("HEAD", "lines/one")
        assert (head.status, tail(head), field(head, "cache-control")) == (200, 2, "no-store")

    play(tmp_path, story)


def test_create_again_is_the_same_or_a_conflict(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        asked = {**TEXT, "stream-ttl": "60"}
        assert (await node("PUT", "s", b"first", asked)).status == 201
        again = await node("PUT", "s", b"first", {**asked, "content-type": "TEXT/plain; charset=utf-8"})
        assert (again.status, tail(again)) == (200, 1)
        for other in (
            {**asked, "content-type": "text/html"},
            {**asked, "stream-ttl": "61"},
            TEXT,
            {**asked, "stream-closed": "true"},
        ):
            refused = await node("PUT", "s", b"", other)
            assert refused.status == 409
            assert json.loads(refused.body)["kind"] == "Conflict"

    play(tmp_path, story)


def test_json_mode_keeps_messages_apart(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        assert tail(await node("PUT", "s", b"[]", JSON)) == 0
        assert tail(await node("POST", "s", b'{"n": 1}', JSON)) == 1
        assert tail(await node("POST", "s", b'[[2], {"n":3}]', JSON)) == 3
        assert (await node("GET", "s")).body == b'[{"n": 1},[2],{"n":3}]'
        assert (await node("GET", "s?offset=0000000000000000_0000000000000002")).body == b'[{"n":3}]'
        assert (await node("GET", "s?offset=now")).body == b"[]"
        for wrong in (b"[]", b"{", b""):
            assert (await node("POST", "s", wrong, JSON)).status == 400
        assert tail(await node("HEAD", "s")) == 3

    play(tmp_path, story)


def test_refused_appends_change_nothing(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        refusals = [
            (await node("POST", "none", b"x", TEXT), 404),
            (await node("POST", "s", b"", TEXT), 400),
            (await node("POST", "s", b"x"), 400),
            (await node("POST", "s", b"x", JSON), 400),
            (await node("POST", "s", b"{}", JSON), 409),
            (await node("POST", "s", b"x" * 101, TEXT), 413),
            (await node("POST", "s", b"x" * 301, TEXT), 413),
            (await node("PATCH", "s", b"x", TEXT), 405),
            (await node("POST", "s", b"x", {**TEXT, "producer-id": "p"}), 400),
        ]
        assert [response.status for response, _ in refusals] == [status for _, status in refusals]
        assert all(field(response, "content-type") == "application/problem+json" for response, _ in refusals)
        assert tail(await node("HEAD", "s")) == 0

    play(tmp_path, story, record_bytes=100, api_body_bytes=300)


def test_copies_are_read_only(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        for method in ("PUT", "POST", "DELETE"):
            refused = await node(method, "/v1/streams/plant-b/s", b"x", TEXT)
            assert refused.status == 405
            assert "Send it to plant-b" in json.loads(refused.body)["detail"]
        assert (await node("GET", "/v1/streams/plant-b/s")).status == 404
        assert field(await node("OPTIONS", "/v1/streams/plant-b/s"), "allow") == "GET, HEAD, OPTIONS"

    play(tmp_path, story)


def test_bad_names_offsets_and_modes(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"x", TEXT)
        for path in (
            "s?offset=",
            "s?offset=x,y",
            "s?offset=0000000000000000_9999999999999999",
            "s?live=sse",
            "s?live=yes",
            "a//b",
            "/v1/streams/x",
        ):
            assert (await node("GET", path)).status == 400, path
        assert (await node("GET", "s?live=long-poll")).status == 400
        assert (await node("PUT", "__ds/subscriptions/a", b"", JSON)).status == 404
        assert (await node("PUT", "fork", b"", {"stream-forked-from": "/elsewhere/s"})).status == 400

    play(tmp_path, story)


def test_stream_seq_must_grow(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        statuses = [
            (await node("POST", "s", b"x", {**TEXT, "stream-seq": seq})).status for seq in ("09", "10", "10", "1", "2")
        ]
        assert statuses == [204, 204, 409, 409, 204]
        assert tail(await node("HEAD", "s")) == 3

    play(tmp_path, story)


def test_a_closed_stream_takes_no_more(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"a", TEXT)
        before = await node("GET", "s")
        assert field(before, "stream-closed") is None
        closed = await node("POST", "s", b"", {"stream-closed": "TRUE", **JSON})
        assert (closed.status, field(closed, "stream-closed"), tail(closed)) == (204, "true", 1)
        assert (await node("POST", "s", b"", {"stream-closed": "true"})).status == 204
        for headers in (TEXT, JSON, {**TEXT, "stream-closed": "true"}):
            refused = await node("POST", "s", b"{}", headers)
            assert (refused.status, field(refused, "stream-closed"), tail(refused)) == (409, "true", 1)
        after = await node("GET", "s", headers={"if-none-match": field(before, "etag") or ""})
        assert (after.status, field(after, "stream-closed")) == (200, "true")
        end = await node("GET", "s?offset=0000000000000000_0000000000000001&live=long-poll")
        assert (end.status, field(end, "stream-closed"), field(end, "stream-cursor")) == (204, "true", None)

    play(tmp_path, story)


def test_append_and_close_is_one_step(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        made = await node("PUT", "whole", b"all of it", {**TEXT, "stream-closed": "true"})
        assert (made.status, field(made, "stream-closed"), tail(made)) == (201, "true", 1)
        assert (await node("GET", "whole")).body == b"all of it"
        await node("PUT", "s", b"", TEXT)
        last = await node("POST", "s", b"last", {**TEXT, "stream-closed": "true"})
        assert (last.status, field(last, "stream-closed"), tail(last)) == (204, "true", 1)

    play(tmp_path, story)


def producer(seq: int, epoch: int = 0, producer_id: str = "p") -> dict[str, str]:
    return {**TEXT, "producer-id": producer_id, "producer-epoch": str(epoch), "producer-seq": str(seq)}


def test_a_producer_that_repeats_itself_is_stored_once(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        statuses = [(await node("POST", "s", b"%d" % seq, producer(seq))).status for seq in (0, 0, 1, 0, 1, 2)]
        assert statuses == [200, 204, 200, 204, 204, 200]
        known = await node("POST", "s", b"0", producer(0))
        assert (field(known, "producer-seq"), field(known, "producer-epoch")) == ("2", "0")
        gap = await node("POST", "s", b"9", producer(9))
        assert (gap.status, field(gap, "producer-expected-seq"), field(gap, "producer-received-seq")) == (409, "3", "9")
        assert (await node("POST", "s", b"x", producer(1, epoch=1))).status == 400
        assert (await node("POST", "s", b"3", producer(0, epoch=1))).status == 200
        zombie = await node("POST", "s", b"zombie", producer(3))
        assert (zombie.status, field(zombie, "producer-epoch")) == (403, "1")
        assert (await node("GET", "s")).body == b"0123"

    play(tmp_path, story)


def test_concurrent_repeats_are_stored_once(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        answers = await asyncio.gather(*(node("POST", "s", b"x", producer(0)) for _ in range(20)))
        assert sorted(response.status for response in answers) == [200] + [204] * 19
        assert (await node("GET", "s")).body == b"x"

    play(tmp_path, story)


def test_producers_are_remembered_over_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, Limits()) as node:
            await node("PUT", "s", b"", TEXT)
            assert (await node("POST", "s", b"x", producer(0))).status == 200
        async with opened(tmp_path, Limits()) as node:
            assert (await node("POST", "s", b"x", producer(0))).status == 204
            assert (await node("GET", "s")).body == b"x"

    asyncio.run(main())


def test_a_producer_may_repeat_its_close(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        closing = {**producer(0), "stream-closed": "true"}
        assert (await node("POST", "s", b"end", closing)).status == 200
        again = await node("POST", "s", b"other body", closing)
        assert (again.status, field(again, "stream-closed")) == (204, "true")
        assert (await node("POST", "s", b"more", producer(1))).status == 409
        assert (await node("POST", "s", b"more", {**closing, "producer-id": "q"})).status == 409
        assert (await node("GET", "s")).body == b"end"

    play(tmp_path, story)


def test_one_producer_too_many_is_refused_whole(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        statuses = [
            (await node("POST", "s", b"x", producer(0, producer_id=name))).status for name in ("a", "b", "c", "a")
        ]
        assert statuses == [200, 200, 429, 204]
        assert (tail(await node("HEAD", "s")), node.limits.reached["stream-producers"]) == (2, 1)

    play(tmp_path, story, stream_producers=2)


def test_an_append_reads_the_state_of_its_own_producer_once_and_of_no_other(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        for n in range(3):
            await node("POST", "s", b"x", producer(0, producer_id=f"other-{n}"))
        statements: list[str] = []

        def note(cursor: object, statement: str, bindings: object) -> bool:
            statements.append(statement)
            return True

        node.store.committer._connection.exec_trace = note
        for seq in (0, 1):
            assert (await node("POST", "s", b"x", producer(seq))).status == 200
        reads = [statement.split(" WHERE")[0] for statement in statements if statement.startswith("SELECT")]
        one, how_many = "SELECT value FROM state", "SELECT count(*) FROM state"
        assert reads == [one, how_many, one]

    play(tmp_path, story)


def test_a_stream_made_again_knows_nothing_of_the_one_before(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"old", TEXT)
        await node("POST", "s", b"x", {**producer(0), "stream-seq": "z"})
        old = field(await node("GET", "s"), "etag")
        assert (await node("DELETE", "s")).status == 204
        assert [(await node(method, "s", b"x", TEXT)).status for method in ("GET", "HEAD", "POST", "DELETE")] == [
            404
        ] * 4
        assert (await node("PUT", "s", b"new", TEXT)).status == 201
        assert (await node("POST", "s", b"!", {**producer(0), "stream-seq": "a"})).status == 200
        read = await node("GET", "s", headers={"if-none-match": old or ""})
        assert (read.status, read.body) == (200, b"new!")

    play(tmp_path, story)


def test_reads_are_bounded_and_go_on(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"", TEXT)
        for part in range(5):
            await node("POST", "s", b"%d" % part * 40, TEXT)
        seen, token, last = b"", "-1", None
        while last is None:
            read = await node("GET", f"s?offset={token}")
            assert 0 < len(read.body) <= 100
            seen, token, last = seen + read.body, format_offset(tail(read)), field(read, "stream-up-to-date")
        assert seen == b"".join(b"%d" % part * 40 for part in range(5))

    play(tmp_path, story, read_bytes=100)


def test_a_read_may_end_within_a_batch(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        messages = list(range(1000, 1100))
        await node("PUT", "s", json.dumps(messages).encode(), JSON)
        seen: list[int] = []
        while len(seen) < 100:
            read = await node("GET", f"s?offset={format_offset(len(seen))}")
            part = json.loads(read.body)
            assert 0 < len(part) <= 10
            seen += part
            assert tail(read) == len(seen)
        assert seen == messages

    play(tmp_path, story, read_bytes=40)


def test_what_retention_took_is_gone(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        name = StreamName("plant-a", "s")
        await node.store.submit(lambda tx: tx.open_stream(name, content_type="text/plain", retention_ms=1000))
        await node("POST", "s", b"0", TEXT)
        node.clock.advance(seconds=2)
        await node("POST", "s", b"1", TEXT)
        await node.store.submit(lambda tx: tx.retain(name, node.clock.wall_ms(), 10))
        for suffix in ("", "&live=long-poll", "&live=sse"):
            assert (await node("GET", f"s?offset=0000000000000000_0000000000000000{suffix}")).status == 410
        assert (await node("GET", "s?offset=-1")).body == b"1"

    play(tmp_path, story)


def test_conditional_reads(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"x", TEXT)
        read = await node("GET", "s")
        assert field(read, "cache-control") == "private, max-age=60, stale-while-revalidate=300"
        tag = {"if-none-match": field(read, "etag") or ""}
        unchanged = await node("GET", "s", headers=tag)
        assert (unchanged.status, unchanged.body) == (304, b"")
        await node("POST", "s", b"y", TEXT)
        assert (await node("GET", "s", headers=tag)).body == b"xy"
        assert field(await node("GET", "s?offset=now"), "etag") is None

    play(tmp_path, story)


def test_a_ttl_is_renewed_by_reads_and_writes_but_not_by_head(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"x", {**TEXT, "stream-ttl": "10"})
        assert field(await node("HEAD", "s"), "stream-ttl") == "10"
        for act in (("GET", "s"), ("POST", "s", b"y", TEXT), ("HEAD", "s")):
            node.clock.advance(seconds=9)
            assert (await node(*act)).status < 300
        node.clock.advance(seconds=1)
        assert (await node("HEAD", "s")).status == 404
        assert (await node("POST", "s", b"z", TEXT)).status == 404
        assert (await node("PUT", "s", b"new", TEXT)).status == 201
        assert (await node("GET", "s")).body == b"new"

    play(tmp_path, story)


def test_a_moment_of_expiry_is_kept(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        await node("PUT", "s", b"x", {**TEXT, "stream-expires-at": "2023-11-14T22:13:50Z"})
        assert (await node("PUT", "s", b"x", {**TEXT, "stream-expires-at": "2023-11-14T23:13:50+01:00"})).status == 200
        assert field(await node("GET", "s"), "cache-control") == "private, max-age=30"
        assert await node.server.remove_expired() == 0
        node.clock.advance(seconds=30)
        assert (await node("GET", "s")).status == 404
        assert await node.server.remove_expired() == 1
        assert node.store.streams() == []

    play(tmp_path, story)


def test_a_stream_is_made_with_the_budget_that_is_asked_for(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        budget = TEXT | {"littoral-budget-bytes": "4KiB", "littoral-budget-policy": "reject"}
        assert (await node("PUT", "jobs", headers=budget)).status == 201
        assert (await node("PUT", "jobs", headers=budget)).status == 200
        assert (await node("PUT", "jobs", headers=TEXT)).status == 200
        other = await node("PUT", "jobs", headers=TEXT | {"littoral-budget-policy": "drop-oldest"})
        assert (other.status, b"its policy is reject" in other.body) == (409, True)
        assert (await node("POST", "jobs", os.urandom(4000), TEXT)).status == 204
        full = await node("POST", "jobs", os.urandom(400), TEXT)
        assert full.status == 507
        assert "plant-a/jobs: it holds" in json.loads(full.body)["detail"]
        assert (await node("POST", "jobs", b"x", TEXT)).status == 204, "what fits is taken"

    play(tmp_path, story)


def test_a_budget_that_nobody_is_given_is_refused(tmp_path: Path) -> None:
    async def story(node: StreamNode) -> None:
        for headers, status, words in (
            ({"littoral-budget-bytes": "1GiB"}, 413, b"limit stream-bytes"),
            ({"littoral-budget-bytes": "0"}, 400, b"may hold nothing"),
            ({"littoral-budget-policy": "spill"}, 400, b"spec.storage.spill"),
            ({"littoral-budget-policy": "forget"}, 400, b"it is one of drop-oldest, reject, spill"),
        ):
            refused = await node("PUT", "jobs", headers=TEXT | headers)
            assert (refused.status, words in refused.body) == (status, True), refused.body
        assert (await node("HEAD", "jobs")).status == 404

    play(tmp_path, story)
