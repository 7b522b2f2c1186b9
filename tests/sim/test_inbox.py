"""A node behind a link that only it can open is asked from above, through a relay, while links and nodes fail."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from littoral.core.errors import StorageError
from littoral.core.http import AnyResponse, Request, Response
from littoral.core.limits import INBOX_ANSWER_BYTES, INBOX_LISTED, INBOX_MESSAGE_BYTES
from littoral.core.names import StreamName
from littoral.core.resources.model import Requests
from littoral.core.waiting import Client
from littoral.fleet.inbox import Message, encode, inbox_of, read_message
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from tests.support.asking import call, header, json_of
from tests.support.neighbours import uplink_of
from tests.support.restoring import backed_up, restored

LOG = "/v1/streams/plant-a/log"
TEXT_FIELDS: dict[str, Any] = {"content_type": "text/plain"}


class Line:
    """cloud <- eu <- plant-a, and eu <- plant-b."""

    def __init__(self, seed: int) -> None:
        self.tree = SimTree(seed)

    async def start(self, requests: Requests = "all", **limits: int) -> None:
        self.root = await self.tree.start_root("cloud")
        self.eu = self.tree.add("eu", "region", self.root)
        allow(self.eu, "all")
        await self.eu.start(await self.tree.token(self.root, "eu"))
        self.site = await self.add("plant-a", requests, **limits)
        self.other = await self.add("plant-b", requests)
        await self.tree.until(lambda: self.root.running.registry.below() >= {"eu", "plant-a", "plant-b"})

    async def add(self, name: str, requests: Requests, **limits: int) -> SimNode:
        node = self.tree.add(name, "site", self.eu, limits=limits)
        allow(node, requests)
        await node.start(await self.tree.token(self.eu, name))
        return node

    def cut(self) -> None:
        self.tree.network.link("plant-a", self.eu.peer_url).cut()

    def restore(self) -> None:
        self.tree.network.link("plant-a", self.eu.peer_url).restore()

    def tree_is_connected(self) -> bool:
        hubs = [node.running for node in self.tree.nodes.values()]
        return all(hub.uplink is None or hub.uplink.state.connected for hub in hubs)

    def log(self) -> list[bytes]:
        return self.site.records("plant-a/log")

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str):
        """Of plant-a, at the root."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await call(self.root, method, f"/v1/nodes/plant-a/api{path}", body, fields)


def allow(node: SimNode, requests: Requests) -> None:
    spec = node.config.spec
    assert spec.parent is not None
    parent = msgspec.structs.replace(spec.parent, requests=requests)
    node.config = msgspec.structs.replace(node.config, spec=msgspec.structs.replace(spec, parent=parent))


def simulate(seed: int, story: Callable[[Line], Awaitable[None]], requests: Requests = "all", **limits: int) -> None:
    async def main() -> None:
        line = Line(seed)
        await line.start(requests, **limits)
        await story(line)
        await line.tree.stop()

    run(main, seed=seed)


def test_a_node_two_levels_down_answers_as_if_it_was_asked_itself(seed: int):
    async def story(line: Line) -> None:
        answer = await line.ask("PUT", LOG, **TEXT_FIELDS)
        assert (answer.status, header(answer, "littoral-node")) == (201, "plant-a")
        assert (await line.ask("POST", LOG, b"one", **TEXT_FIELDS)).status == 204
        assert line.log() == [b"one"]
        read = await line.ask("GET", LOG)
        assert (read.status, read.body, header(read, "content-type")) == (200, b"one", "text/plain")
        assert header(read, "stream-next-offset") is not None
        assert json_of(await line.ask("GET", "/v1/status"))["node"] == "plant-a"
        missing = await line.ask("GET", "/v1/kv/none/k")
        assert (missing.status, json_of(missing)["kind"]) == (404, "NotFound")

    simulate(seed, story)


def test_the_node_that_is_asked_may_be_the_one_that_is_meant(seed: int):
    async def story(line: Line) -> None:
        answer = await call(line.root, "GET", "/v1/nodes/cloud/api/v1/status")
        assert json_of(answer)["node"] == "cloud"
        assert line.root.running.store.state("asked") == {}

    simulate(seed, story)


def test_a_request_waits_for_a_node_that_is_away(seed: int):
    async def story(line: Line) -> None:
        line.cut()
        await asyncio.sleep(20)
        asked = asyncio.get_running_loop().create_task(line.ask("PUT", LOG, littoral_deadline="5m"))
        await asyncio.sleep(60)
        assert not asked.done()
        line.restore()
        assert (await asked).status == 201

    simulate(seed, story)


def test_a_caller_that_leaves_is_waited_for_by_nobody_and_what_it_asked_is_done(seed: int):
    async def story(line: Line) -> None:
        await line.ask("PUT", LOG, **TEXT_FIELDS)
        line.cut()
        client = Client()

        async def asks() -> None:
            client.answered_here()
            await line.ask("POST", LOG, b"one", littoral_deadline="1h", **TEXT_FIELDS)

        asking = line.root.running.inboxes.asking
        caller = asyncio.ensure_future(asks())
        await line.tree.until(lambda: asking.waiting == 1)
        await asyncio.sleep(1)
        assert not caller.done()
        client.leave()
        await asyncio.wait([caller])
        assert caller.cancelled()
        assert not asking._waiters
        line.restore()
        await line.tree.until(lambda: line.log() == [b"one"])

    simulate(seed, story)


def test_past_its_deadline_nothing_is_done_and_the_caller_is_told_how_to_go_on(seed: int):
    async def story(line: Line) -> None:
        line.cut()
        await asyncio.sleep(20)
        answer = await line.ask("PUT", LOG, littoral_deadline="10s", idempotency_key="once")
        problem = json_of(answer)
        assert (answer.status, problem["kind"]) == (504, "TimedOut")
        assert "plant-a" in problem["detail"]
        assert "GET /v1/inbox/once/answer" in problem["remedy"]
        assert header(answer, "littoral-message") == "once"
        assert json_of(await call(line.root, "GET", "/v1/inbox/once"))["state"] == "expired"
        line.restore()

        async def is_answered() -> bool:
            return bool(json_of(await call(line.root, "GET", "/v1/inbox/once"))["state"] == "answered")

        while not await is_answered():
            await asyncio.sleep(0.5)
        late = await call(line.root, "GET", "/v1/inbox/once/answer")
        assert (late.status, "deadline had passed" in json_of(late)["cause"]) == (504, True)
        assert line.log() == []

    simulate(seed, story)


def test_what_is_still_being_done_at_its_deadline_is_done_to_its_end(seed: int):
    """An expulsion that the disk holds up: the child's session ends with it, whoever has stopped waiting by then."""

    async def story(line: Line) -> None:
        inbox = line.eu.running.inboxes.inbox
        expel = inbox._handler

        async def on_a_slow_disk(request: Request) -> AnyResponse:
            line.eu.disk.sync_delay_s = 40.0
            return await expel(request)

        inbox._handler = on_a_slow_disk
        answer = await call(line.root, "DELETE", "/v1/nodes/plant-a", headers={"littoral-deadline": "10s"})
        assert (answer.status, json_of(answer)["kind"]) == (504, "TimedOut")
        await line.tree.until(lambda: inbox.counters.expired == 1)
        line.eu.disk.sync_delay_s = 0.0
        await line.tree.until(lambda: "was expelled" in uplink_of(line.site).state.last_error)
        assert line.eu.running.registry.below() == {"plant-b"}

    simulate(seed, story)


def test_what_goes_on_past_its_deadline_keeps_its_place_among_those_made_at_once(seed: int):
    async def story(line: Line) -> None:
        inbox = line.site.running.inboxes.inbox
        began: list[str] = []
        ended: list[str] = []

        async def stuck(request: Request) -> AnyResponse:
            began.append(request.path)
            await release.wait()
            ended.append(request.path)
            return Response(204)

        release, inbox._handler = asyncio.Event(), stuck
        first = await line.ask("PUT", "/first", littoral_deadline="5s")
        second = await line.ask("PUT", "/second", littoral_deadline="5s")
        assert (first.status, second.status, began) == (504, 504, ["/first"])
        release.set()
        assert (await line.ask("PUT", "/third")).status == 204
        assert began == ended == ["/first", "/third"]

    simulate(seed, story, inbox_at_once=1)


def test_what_only_waits_is_ended_at_its_deadline(seed: int):
    async def story(line: Line) -> None:
        await line.ask("PUT", LOG, **TEXT_FIELDS)
        query = {"live": "long-poll", "offset": "-1"}
        answer = await call(
            line.root, "GET", f"/v1/nodes/plant-a/api{LOG}", headers={"littoral-deadline": "5s"}, query=query
        )
        assert answer.status == 504
        store = line.site.running.store
        await line.tree.until(lambda: not store._waiters.get(StreamName("plant-a", "log")), limit_s=5)
        assert (await line.ask("GET", "/v1/status")).status == 200

    simulate(seed, story, inbox_at_once=1)


def test_the_same_key_is_the_same_request(seed: int):
    async def story(line: Line) -> None:
        await line.ask("PUT", LOG, **TEXT_FIELDS)
        first, second = await asyncio.gather(
            *(line.ask("POST", LOG, b"one", idempotency_key="k-1", **TEXT_FIELDS) for _ in range(2))
        )
        third = await line.ask("POST", LOG, b"one", idempotency_key='"k-1"', **TEXT_FIELDS)
        assert first == second == third
        assert first.status == 204
        assert line.log() == [b"one"]
        other = await line.ask("POST", LOG, b"two", idempotency_key="k-1", **TEXT_FIELDS)
        assert (other.status, json_of(other)["kind"]) == (409, "Conflict")
        assert line.log() == [b"one"]

    simulate(seed, story)


def test_a_message_that_comes_again_is_answered_as_before(seed: int):
    """As where the asker was restored from a backup: it knows nothing of what it asked, and the target does."""

    async def story(line: Line) -> None:
        await line.ask("PUT", LOG, **TEXT_FIELDS)
        first = await line.ask("POST", LOG, b"one", idempotency_key="k", **TEXT_FIELDS)
        asking = line.root.running.inboxes.asking
        asking._asked.pop("k")
        await line.root.running.store.submit(lambda tx: tx.put_state("asked", "k", None))
        again = await line.ask("POST", LOG, b"one", idempotency_key="k", **TEXT_FIELDS)
        assert again == first
        assert line.log() == [b"one"]
        assert line.site.running.inboxes.inbox.counters.repeated == 1

    simulate(seed, story)


def test_a_message_that_the_relay_repeats_is_made_once(seed: int):
    async def story(line: Line) -> None:
        await line.ask("PUT", LOG, **TEXT_FIELDS)
        await line.ask("POST", LOG, b"one", **TEXT_FIELDS)
        eu = line.eu.running.store
        name = inbox_of("eu", "plant-a")
        info = eu.stream(name)
        assert info is not None
        records = [record for batch in eu.read(name, info.first, 1 << 20) for record in batch.records()]
        await eu.submit(lambda tx: tx.append(name, records))
        await asyncio.sleep(20)
        assert line.log() == [b"one"]
        assert line.site.running.inboxes.inbox.counters.made == 2

    simulate(seed, story)


def test_what_is_cancelled_before_the_node_has_it_is_not_done(seed: int):
    async def story(line: Line) -> None:
        line.cut()
        await asyncio.sleep(20)
        accepted = await line.ask("PUT", LOG, littoral_deadline="1h", prefer="respond-async", idempotency_key="no")
        assert (accepted.status, header(accepted, "location")) == (202, "/v1/inbox/no")
        waiting = asyncio.get_running_loop().create_task(
            line.ask("PUT", LOG, littoral_deadline="1h", idempotency_key="no")
        )
        await asyncio.sleep(1)
        assert (await call(line.root, "DELETE", "/v1/inbox/no")).status == 204
        assert (await waiting).status == 410
        line.restore()
        await line.tree.until(lambda: line.root.running.inboxes.asking.entry("no").status is not None)
        assert line.root.running.inboxes.asking.entry("no").status == 410
        assert line.log() == []
        assert line.site.running.inboxes.inbox.counters.made == 0
        assert (await call(line.root, "DELETE", "/v1/inbox/no")).status == 409

    simulate(seed, story)


@pytest.mark.parametrize(
    ("requests", "method", "path", "body", "status"),
    [
        ("none", "GET", "/v1/status", b"", 403),
        ("read", "GET", "/v1/status", b"", 200),
        ("read", "GET", "/metrics", b"", 200),
        ("read", "PUT", LOG, b"", 403),
        ("read", "POST", "/v1/tokens", b'{"node": "x"}', 403),
        ("read", "GET", "/v1/inbox", b"", 403),
        ("read", "GET", "/v1/streams/eu/inbox/plant-a", b"", 403),
        ("read", "GET", "/v1/stream-view/eu/inbox/plant-a", b"", 403),
        ("read", "GET", "/v1/nodes/plant-a/api/v1/inbox", b"", 403),
        ("read", "GET", "/v1/nodes/plant-a/api/v1/nodes/plant-a/api/v1/inbox", b"", 403),
        ("read", "GET", "/v1/nodes/plant-a/api/v1/streams/eu/inbox/plant-a", b"", 403),
        ("read", "GET", "/v1/nodes/plant-a/api", b"", 403),
        ("read", "GET", "/v1/nodes/nobody/api/v1/inbox", b"", 404),
        ("read", "POST", "/v1/commands", b'{"command": "diagnose"}', 200),
        ("read", "POST", "/v1/commands", b"{", 400),
        ("read", "POST", "/v1/commands", b'{"command": "\xff"}', 400),
        ("all", "POST", "/v1/commands", b'{"command": "\xff"}', 400),
        ("all", "GET", "/v1/nodes/plant-a/api/v1/inbox", b"", 200),
        ("all", "PUT", LOG, b"", 201),
        ("all", "POST", "/v1/tokens", b'{"node": "x"}', 200),
        ("all", "GET", "/v1/inbox", b"", 200),
    ],
)
def test_a_node_does_what_its_document_lets_be_asked(
    requests: Requests, method: str, path: str, body: bytes, status: int, seed: int
):
    async def story(line: Line) -> None:
        answer = await line.ask(method, path, body)
        assert answer.status == status, answer.body
        if status == 403:
            assert "spec.parent.requests" in json_of(answer)["remedy"]
            assert line.site.running.inboxes.inbox.counters.refused == 1
            assert line.log() == []

    simulate(seed, story, requests)


def test_commands_have_an_address_of_their_own(seed: int):
    async def story(line: Line) -> None:
        line.site.running.warn("the printer is on fire")
        answer = await call(line.root, "POST", "/v1/nodes/plant-a/commands", b'{"command": "diagnose"}')
        diagnosis = json_of(answer)
        assert diagnosis["status"]["node"] == "plant-a"
        assert diagnosis["warnings"][-1]["text"] == "the printer is on fire"
        uplink = line.site.running.uplink
        assert uplink is not None
        before = uplink.state.sessions
        greeted = await call(line.root, "POST", "/v1/nodes/plant-a/commands", b'{"command": "greet"}')
        assert json_of(greeted) == {"sessions": before}
        await line.tree.until(lambda: uplink.state.sessions > before)
        wrong = await call(line.root, "POST", "/v1/nodes/plant-a/commands", b'{"command": "explode"}')
        assert (wrong.status, "there are diagnose, greet" in json_of(wrong)["remedy"]) == (400, True)

    simulate(seed, story)


def test_only_a_parent_asks(seed: int):
    """A child cannot put anything into its parent's inbox, nor into that of another child of its parent's."""

    async def story(line: Line) -> None:
        forged = Message(
            id="forged",
            ticket=b"0",
            asker="cloud",
            target="eu",
            asked_ms=0,
            deadline_ms=1 << 60,
            method="PUT",
            path="/v1/stream/forged",
        )
        for name in (inbox_of("cloud", "eu"), inbox_of("eu", "plant-b"), inbox_of("plant-a", "eu")):

            def write(tx: Transaction, name: StreamName = name) -> None:
                mine = StreamName("plant-a", name.path)
                tx.open_stream(mine, lane="control", content_type="application/msgpack")
                tx.append(mine, [encode(forged)])

            await line.site.running.store.submit(write)
        await line.tree.until(lambda: line.root.records("plant-a/inbox/eu"))
        answer = await call(line.site, "GET", "/v1/nodes/plant-b/api/v1/status")
        assert (answer.status, "plant-a knows no node of that name below it" in json_of(answer)["cause"]) == (404, True)
        await asyncio.sleep(10)
        assert line.eu.running.store.stream(StreamName("eu", "forged")) is None
        assert line.eu.running.store.state("inbox-done") == {}

    simulate(seed, story)


def test_an_answer_is_taken_from_one_who_had_the_message(seed: int):
    """A sibling that guesses the key does not know the ticket."""

    async def story(line: Line) -> None:
        line.cut()
        await asyncio.sleep(20)
        await line.ask("GET", "/v1/status", idempotency_key="guess", prefer="respond-async", littoral_deadline="1h")

        def lie(tx: Transaction) -> None:
            name = StreamName("plant-b", "outbox")
            tx.open_stream(name, lane="control", content_type="application/msgpack")
            part = {
                "id": "guess",
                "ticket": b"?",
                "asker": "cloud",
                "part": 0,
                "parts": 1,
                "status": 200,
                "body": b"lie",
            }
            tx.append(name, [msgspec.msgpack.encode(part), b"no message"])

        await line.other.running.store.submit(lie)
        await line.tree.until(lambda: line.root.records("plant-b/outbox"))
        await asyncio.sleep(5)
        assert line.root.running.inboxes.asking.entry("guess").state == "waiting"
        assert line.root.running.dead_letters.open_count() == 1, "what is no answer at all is put aside"
        line.restore()
        await line.tree.until(lambda: line.root.running.inboxes.asking.entry("guess").status == 200)
        assert json_of(line.root.running.inboxes.asking.answer("guess"))["node"] == "plant-a"

    simulate(seed, story)


HOSTILE = (b"\x81\xa2id\xa4\xff\xfe\xfd\xfc", b"\x94\xa1\xff\xc0\x01\xa1a", b"\x81\xa1?" + b"\x91" * 100_000, b"")


@pytest.mark.parametrize("path", ["outbox", "kv/any", "status", "dead-letters"])
def test_no_record_of_a_child_stops_those_above(path: str, seed: int):
    async def story(line: Line) -> None:
        def write(tx: Transaction) -> None:
            name = StreamName("plant-b", path)
            tx.open_stream(name, lane="control", content_type="application/msgpack")
            tx.append(name, HOSTILE)

        await line.other.running.store.submit(write)
        await line.tree.until(lambda: set(HOSTILE) <= set(line.root.records(f"plant-b/{path}")))
        await asyncio.sleep(10)
        if path in ("outbox", "kv/any"):
            for node in (line.root, line.eu):
                assert node.running.dead_letters.open_count() == len(HOSTILE), node.name
        answer = await call(line.root, "GET", "/v1/nodes/plant-b/api/v1/status")
        assert (answer.status, json_of(answer)["node"]) == (200, "plant-b")
        assert (await call(line.root, "GET", "/v1/nodes")).status == 200
        line.tree.raise_failures()

    simulate(seed, story)


def test_a_message_at_which_the_node_fails_is_answered_and_done_with(seed: int):
    """Wherever it fails: raised on, it would fail again after each restart, until its deadline. A simulation ends with
    it all the same."""

    async def story(line: Line) -> None:
        inbox = line.site.running.inboxes.inbox

        def fault(*_: object, **__: object) -> None:
            raise RecursionError("of a kind that nobody has thought of")

        async def unspeakable(_: Request) -> Response:
            return Response(200, [("x", "\ud800")])

        faults = {"_check": fault, "_made": fault, "_whole": fault, "_handler": unspeakable}
        for number, (place, wrong) in enumerate(faults.items()):
            right = getattr(inbox, place)
            setattr(inbox, place, wrong)
            answer = await line.ask("PUT", LOG, idempotency_key=f"fault-{number}")
            assert (answer.status, json_of(answer)["kind"]) == (500, "LittoralError")
            assert len(line.tree.failures) == number + 1
            setattr(inbox, place, right)
            # It is noted as done: nothing is made of it later.
            held = line.site.running.store
            assert (held.state("inbox"), f"cloud/fault-{number}" in held.state("inbox-done")) == ({}, True)
        assert (await line.ask("PUT", LOG)).status == 201
        assert [type(each) for each in line.tree.failures] == [RecursionError] * 3 + [UnicodeEncodeError]
        line.tree.failures.clear()

    simulate(seed, story)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ({"status": 101}, "101 is the status of no answer"),
        ({"status": 204, "body": b"HTTP/1.1 200 OK\r\n\r\n"}, "has no body"),
        ({"status": 200, "headers": [("x: y\r\n", "z")]}, "is no name of a header field"),
        ({"status": 200, "headers": [("x", "y\r\n\r\nHTTP/1.1 200 OK")]}, "the header field x holds a character"),
        ({"status": 200, "parts": 2, "part": 1}, "this version cannot read it"),
    ],
)
def test_an_answer_that_is_no_http_response_is_not_passed_on(said: dict[str, Any], cause: str, seed: int):
    async def story(line: Line) -> None:
        line.cut()
        await asyncio.sleep(20)
        await line.ask("GET", "/v1/status", idempotency_key="k", prefer="respond-async", littoral_deadline="1h")
        await line.tree.until(lambda: bool(line.eu.records("eu/inbox/plant-a")))
        ticket = read_message(line.eu.records("eu/inbox/plant-a")[-1], inbox_of("eu", "plant-a")).ticket

        def lie(tx: Transaction) -> None:
            # The relay had the message, and so it has the ticket.
            name = StreamName("eu", "outbox")
            tx.open_stream(name, lane="control", content_type="application/msgpack")
            part = {"id": "k", "ticket": ticket, "asker": "cloud", "part": 0, "parts": 1, **said}
            tx.append(name, [b"no part", msgspec.msgpack.encode(part)])

        await line.eu.running.store.submit(lie)
        await line.tree.until(lambda: line.root.running.inboxes.asking.entry("k").status is not None)
        answer = await call(line.root, "GET", "/v1/inbox/k/answer")
        assert (answer.status, cause in json_of(answer)["cause"]) == (502, True), answer.body

    simulate(seed, story)


def test_an_answer_has_as_many_parts_as_the_records_of_the_target_ask_for(seed: int):
    async def story(line: Line) -> None:
        size = 1 << 20

        def fill(tx: Transaction) -> None:
            name = StreamName("plant-a", "big")
            tx.open_stream(name, content_type="text/plain")
            tx.append(name, [b"x" * (32 << 10)] * (size >> 15))

        await line.site.running.store.submit(fill)
        line.root.running.limits._values[INBOX_ANSWER_BYTES.name] = size
        answer = await line.ask("GET", "/v1/streams/plant-a/big", littoral_deadline="5m")
        assert (answer.status, len(answer.body)) == (200, size)
        assert len(line.site.records("plant-a/outbox")) == 18
        line.root.running.limits._values[INBOX_ANSWER_BYTES.name] = size - 1
        answer = await line.ask("GET", "/v1/streams/plant-a/big", littoral_deadline="5m")
        assert (answer.status, "inbox-answer-bytes of cloud" in json_of(answer)["cause"]) == (413, True)

    simulate(seed, story, record_bytes=64 << 10)


def test_of_an_answer_that_is_said_to_begin_long_ago_only_so_much_is_read(seed: int):
    async def story(line: Line) -> None:
        line.cut()
        await asyncio.sleep(20)
        await line.ask("GET", "/v1/status", idempotency_key="k", prefer="respond-async", littoral_deadline="1h")
        await line.tree.until(lambda: bool(line.eu.records("eu/inbox/plant-a")))
        ticket = read_message(line.eu.records("eu/inbox/plant-a")[-1], inbox_of("eu", "plant-a")).ticket
        line.root.running.limits._values[INBOX_ANSWER_BYTES.name] = 10_000

        def lie(tx: Transaction) -> None:
            name = StreamName("eu", "outbox")
            tx.open_stream(name, lane="control", content_type="application/msgpack")
            part = {"id": "k", "ticket": ticket, "asker": "cloud", "part": 40, "parts": 41, "status": 200}
            tx.append(name, [*[b"x" * 1000] * 40, msgspec.msgpack.encode(part)])

        await line.eu.running.store.submit(lie)
        await line.tree.until(lambda: line.root.running.inboxes.asking.entry("k").status is not None)
        answer = await call(line.root, "GET", "/v1/inbox/k/answer")
        assert (answer.status, "inbox-answer-bytes of cloud" in json_of(answer)["cause"]) == (413, True)

    simulate(seed, story)


def test_two_requests_with_one_key_hear_both_that_it_could_not_be_sent(seed: int):
    async def story(line: Line) -> None:
        line.root.disk.capacity_bytes = 0
        loop = asyncio.get_running_loop()
        both = [loop.create_task(line.ask("PUT", LOG, idempotency_key="k")) for _ in range(2)]
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*both)
        assert [answer.status for answer in answers] == [507, 507]
        line.root.disk.capacity_bytes = 1 << 40
        assert (await line.ask("PUT", LOG, idempotency_key="k")).status == 201

    simulate(seed, story)


def test_a_request_whose_caller_has_gone_is_sent_all_the_same(seed: int):
    async def story(line: Line) -> None:
        caller = asyncio.get_running_loop().create_task(line.ask("PUT", LOG, idempotency_key="k"))
        await asyncio.sleep(0)
        caller.cancel()
        assert (await line.ask("PUT", LOG, idempotency_key="k")).status == 201
        assert line.root.running.inboxes.asking.entry("k").state == "answered"
        assert line.root.running.store.state("asked").keys() == {"k"}

    simulate(seed, story)


def test_a_large_answer_comes_in_parts_and_too_large_a_one_not(seed: int):
    async def story(line: Line) -> None:
        store = line.site.running.store
        name = StreamName("plant-a", "big")
        size = 700_000

        def fill(tx: Transaction) -> None:
            tx.open_stream(name, content_type="text/plain")
            tx.append(name, [b"x" * size])

        await store.submit(fill)
        answer = await line.ask("GET", "/v1/streams/plant-a/big")
        assert (answer.status, len(answer.body)) == (200, size)
        assert len(line.site.records("plant-a/outbox")) == 3
        line.site.running.limits._values[INBOX_ANSWER_BYTES.name] = size - 1
        answer = await line.ask("GET", "/v1/streams/plant-a/big")
        assert (answer.status, "inbox-answer-bytes" in json_of(answer)["cause"]) == (413, True)

    simulate(seed, story)


def test_events_without_an_end_are_refused(seed: int):
    async def story(line: Line) -> None:
        await line.ask("PUT", LOG)
        answer = await call(line.root, "GET", f"/v1/nodes/plant-a/api{LOG}", query={"live": "sse", "offset": "-1"})
        assert (answer.status, "live=long-poll" in json_of(answer)["remedy"]) == (400, True)

    simulate(seed, story)


def test_what_was_asked_is_listed_page_by_page_the_latest_first(monkeypatch: pytest.MonkeyPatch, seed: int):
    async def story(line: Line) -> None:
        line.cut()
        line.root.running.limits._values[INBOX_LISTED.name] = 2
        reads: list[str] = []
        monkeypatch.setattr(line.root.running.store, "state_value", lambda scope, key: reads.append(key))
        for n in range(5):
            key = f"k{n}"
            await line.ask("GET", "/v1/status", prefer="respond-async", littoral_deadline="1h", idempotency_key=key)
            await asyncio.sleep(1)
        reads.clear()
        listed: list[list[str]] = []
        query: dict[str, str] | None = {}
        while query is not None:
            page = json_of(await call(line.root, "GET", "/v1/inbox", query=query))
            listed.append([each["id"] for each in page["messages"]])
            query = {"cursor": page["cursor"]} if page["cursor"] else None
        assert listed == [["k4", "k3"], ["k2", "k1"], ["k0"]]
        assert len(reads) == 5, "each is looked up once, however many there are"
        one = json_of(await call(line.root, "GET", "/v1/inbox", query={"limit": "1", "cursor": page["cursor"] or ""}))
        assert [each["id"] for each in one["messages"]] == ["k4"]
        for wrong in ({"cursor": "k4"}, {"limit": "all"}):
            assert (await call(line.root, "GET", "/v1/inbox", query=wrong)).status == 400

    simulate(seed, story)


def test_what_is_looked_at_for_each_request_does_not_grow_with_what_is_remembered(
    monkeypatch: pytest.MonkeyPatch, seed: int
):
    async def story(line: Line) -> None:
        asking = line.root.running.inboxes.asking
        for _ in range(3):
            await line.ask("GET", "/v1/status")
        assert (len(asking._asked), asking.waiting, asking._unanswered) == (3, 0, {"eu": {}})

        def unneeded() -> list[str]:
            raise AssertionError("there is room without forgetting any")

        monkeypatch.setattr(asking, "_forgettable", unneeded)
        assert (await line.ask("GET", "/v1/status")).status == 200
        line.cut()
        await line.ask("GET", "/v1/status", prefer="respond-async", littoral_deadline="60s")
        line.root.cut_power()
        await asyncio.sleep(1)
        await line.root.start()
        asking = line.root.running.inboxes.asking
        assert asking.waiting == 1
        await asyncio.sleep(61)
        assert asking.waiting == 0

    simulate(seed, story)


def test_a_disk_that_cannot_be_read_for_a_moment_ends_no_node(monkeypatch: pytest.MonkeyPatch, seed: int):
    async def story(line: Line) -> None:
        store = line.site.running.store
        refused = []

        def refuses(scope: str, key: str) -> bytes | None:
            refused.append(key)
            monkeypatch.undo()
            raise StorageError("read state", scope, "the disk does not answer")

        await line.ask("PUT", LOG, **TEXT_FIELDS)
        monkeypatch.setattr(store, "state_value", refuses)
        assert (await line.ask("POST", LOG, b"one", **TEXT_FIELDS)).status == 204
        assert len(refused) == 1
        line.tree.raise_failures()

    simulate(seed, story)


def test_a_full_inbox_refuses(seed: int):
    async def story(line: Line) -> None:
        line.root.running.limits._values["inbox-messages"] = 3
        line.cut()
        for _ in range(3):
            assert (await line.ask("GET", "/v1/status", prefer="respond-async", littoral_deadline="60s")).status == 202
        full = await line.ask("GET", "/v1/status", prefer="respond-async")
        assert (full.status, "inbox-messages" in json_of(full)["cause"]) == (429, True)
        assert line.root.running.limits.reached["inbox-messages"] == 1
        await asyncio.sleep(61)
        assert (await line.ask("GET", "/v1/status", prefer="respond-async")).status == 202
        large = await line.ask("PUT", LOG, b"x" * line.root.running.limits[INBOX_MESSAGE_BYTES])
        assert (large.status, "inbox-message-bytes" in json_of(large)["remedy"]) == (413, True)

    simulate(seed, story)


def test_what_is_taken_is_bounded_and_what_was_made_is_remembered_until_its_deadline(seed: int):
    async def story(line: Line) -> None:
        await line.ask("PUT", LOG, littoral_deadline="20s", **TEXT_FIELDS)
        assert (await line.ask("POST", LOG, b"1", littoral_deadline="1h", **TEXT_FIELDS)).status == 204
        full = await line.ask("POST", LOG, b"2", littoral_deadline="1h", **TEXT_FIELDS)
        assert (full.status, "inbox-kept" in json_of(full)["cause"]) == (429, True)
        await asyncio.sleep(100)
        assert (await line.ask("POST", LOG, b"3", littoral_deadline="1h", **TEXT_FIELDS)).status == 204
        assert line.log() == [b"1", b"3"]

    simulate(seed, story, inbox_kept=2)


def test_all_is_forgotten_in_the_end(seed: int):
    async def story(line: Line) -> None:
        await line.ask("PUT", LOG)
        assert len(line.root.running.store.state("asked")) == 1
        assert len(line.site.running.store.state("inbox-done")) == 1
        await asyncio.sleep(3600 + 30 + 130)
        assert line.root.running.store.state("asked") == {}
        assert line.site.running.store.state("inbox-done") == {}
        assert json_of(await call(line.root, "GET", "/v1/inbox")) == {"messages": [], "cursor": None}

    simulate(seed, story)


@pytest.mark.parametrize("who", ["cloud", "eu", "plant-a"])
def test_a_restart_of_anybody_loses_no_question_and_no_answer(who: str, seed: int):
    async def story(line: Line) -> None:
        await line.ask("PUT", LOG, **TEXT_FIELDS)
        line.cut()
        await asyncio.sleep(20)
        for n in range(3):
            await line.ask(
                "POST",
                LOG,
                b"%d" % n,
                idempotency_key=f"k{n}",
                prefer="respond-async",
                littoral_deadline="1h",
                **TEXT_FIELDS,
            )
        await asyncio.sleep(5)
        node = line.tree.nodes[who]
        node.cut_power()
        await asyncio.sleep(1)
        await node.start()
        line.restore()
        asking = line.root.running.inboxes.asking
        await line.tree.until(lambda: all(asking.entry(f"k{n}").status == 204 for n in range(3)))
        assert line.log() == [b"0", b"1", b"2"]

    simulate(seed, story)


@pytest.mark.parametrize(
    ("path", "status", "cause"),
    [
        ("/v1/nodes/nobody/api/v1/status", 404, "knows no node of that name"),
        ("/v1/nodes/No%20body/api/v1/status", 400, "a node's name is"),
        ("/v1/nodes/plant-a/nonsense", 404, "no such resource"),
        ("/v1/nodes/plant-a", 405, "GET is not what it takes"),
        ("/v1/inbox/unknown", 404, "did not ask it"),
        ("/v1/inbox/unknown/answer", 404, "did not ask it"),
        ("/v1/inbox/a/b/c", 404, "no such resource"),
    ],
)
def test_wrong_addresses_are_told_apart(path: str, status: int, cause: str, seed: int):
    async def story(line: Line) -> None:
        answer = await call(line.root, "GET", path)
        assert (answer.status, cause in json_of(answer)["cause"]) == (status, True)

    simulate(seed, story)


@pytest.mark.parametrize(
    ("headers", "cause"),
    [
        ({"littoral-deadline": "soon"}, "whole number"),
        ({"littoral-deadline": "0s"}, "between 1ms and 7d"),
        ({"littoral-deadline": "8d"}, "between 1ms and 7d"),
        ({"idempotency-key": "a key"}, "1 to 100 of"),
        ({"idempotency-key": "k" * 101}, "1 to 100 of"),
    ],
)
def test_wrong_headers_are_refused(headers: dict[str, str], cause: str, seed: int):
    async def story(line: Line) -> None:
        answer = await call(line.root, "GET", "/v1/nodes/plant-a/api/v1/status", headers=headers)
        assert (answer.status, cause in json_of(answer)["cause"]) == (400, True)

    simulate(seed, story)


@pytest.mark.parametrize("who", ["cloud", "eu", "plant-a"])
def test_whoever_is_restored_from_a_backup_nothing_is_made_twice(who: str, seed: int):
    async def story(line: Line) -> None:
        await line.ask("PUT", LOG, **TEXT_FIELDS)
        node = line.tree.nodes[who]
        data = await backed_up(node)
        await line.tree.until(lambda: line.tree_is_connected())
        one = await line.ask("POST", LOG, b"one", idempotency_key="k", littoral_deadline="1d", **TEXT_FIELDS)
        assert one.status == 204
        await line.tree.until(lambda: line.root.records("plant-a/log") == [b"one"])
        await restored(node, data)
        await node.start()
        await line.tree.until(lambda: line.tree_is_connected())
        await asyncio.sleep(60)
        again = await line.ask("POST", LOG, b"one", idempotency_key="k", littoral_deadline="1d", **TEXT_FIELDS)
        # A node that was restored says that it does not know; whoever asked it still has the answer.
        assert again.status == 204
        assert line.log() == [b"one"]
        two = await line.ask("POST", LOG, b"two", idempotency_key="l", **TEXT_FIELDS)
        assert two.status == 204, two.body
        assert line.log() == [b"one", b"two"]
        assert [uplink_of(each).outbox.blocked for each in (line.eu, line.site)] == [{}, {}]

    simulate(seed, story)


def test_a_restored_node_does_not_make_what_it_may_have_made_before(seed: int):
    async def story(line: Line) -> None:
        await line.ask("PUT", LOG, **TEXT_FIELDS)
        data = await backed_up(line.site)
        await line.tree.until(lambda: line.tree_is_connected())
        await line.ask("POST", LOG, b"one", idempotency_key="k", littoral_deadline="1d", **TEXT_FIELDS)
        await line.tree.until(lambda: line.root.records("plant-a/log") == [b"one"])
        await restored(line.site, data)
        await line.site.start()
        await line.tree.until(lambda: line.site.running.inboxes.inbox.counters.unknown == 1)
        await line.tree.until(lambda: line.log() == [b"one"])

    simulate(seed, story)
