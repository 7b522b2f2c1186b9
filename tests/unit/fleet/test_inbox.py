"""Messages and answers, and how long they are remembered."""

import msgspec
import pytest

from littoral.core.errors import InvalidInput
from littoral.core.limits import Limits
from littoral.fleet.inbox import (
    ENVELOPE_BYTES,
    KEPT_MS,
    Answer,
    Message,
    check_answer,
    forgettable,
    inbox_of,
    is_inbox,
    joined,
    outbox_of,
    read_message,
    read_part,
    reply,
)
from littoral.fleet.inbox_folds import JOBS, InboxFold
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from tests.support.stores import SimStore, records_of

OUTBOX = outbox_of("plant-a")
MESSAGE = Message(id="k", ticket=b"t", asker="cloud", target="plant-a", asked_ms=0, deadline_ms=1)
NOW_MS = 10 * KEPT_MS


def replied(answer: Answer, **limits: int) -> list[bytes]:
    """The records of the outbox."""
    records: list[bytes] = []

    async def main() -> None:
        store = SimStore("plant-a").open()
        bounds = Limits({name.replace("_", "-"): value for name, value in limits.items()})
        span = await store.submit(lambda tx: reply(tx, MESSAGE, answer, bounds))
        records.extend(records_of(store, OUTBOX))
        assert span == (0, len(records))

    run(main)
    return records


@pytest.mark.parametrize("size", [0, 1, 1000, 1001, 5000])
def test_an_answer_is_put_together_from_its_parts(size: int):
    answer = Answer(200, [("content-type", "text/plain")], bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    records = replied(answer, record_bytes=ENVELOPE_BYTES + 1000)
    assert len(records) == max(1, -(-size // 1000))
    assert joined(records, b"t", OUTBOX) == answer
    assert joined(records, b"another", OUTBOX) is None
    assert joined(records[:-1], b"t", OUTBOX) is None
    assert joined([*records, *records], b"t", OUTBOX) is None


def test_what_is_no_message_says_so():
    for read in (read_message, read_part):
        with pytest.raises(InvalidInput, match="plant-a/outbox: this version cannot read it"):
            read(b"?", OUTBOX)
    with pytest.raises(InvalidInput, match="matching regex"):
        read_message(msgspec.msgpack.encode(msgspec.structs.replace(MESSAGE, id="a/b")), OUTBOX)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(199), "199 is the status of no answer"),
        (Answer(600), "600 is the status of no answer"),
        (Answer(-1), "-1 is the status of no answer"),
        (Answer(204, (), b"x"), "status 204 has no body"),
        (Answer(304, (), b"x"), "status 304 has no body"),
        (Answer(200, [("a b", "c")]), "'a b' is no name of a header"),
        (Answer(200, [("", "c")]), "'' is no name of a header"),
        (Answer(200, [("a:", "c")]), "'a:' is no name of a header"),
        (Answer(200, [("a\n", "c")]), "is no name of a header"),
        (Answer(200, [("ä", "c")]), "'ä' is no name of a header"),
        (Answer(200, [("ok", "fine"), ("a", "b\r\nc: d")]), "the header field a holds a character"),
        (Answer(200, [("a", "b\n")]), "the header field a holds a character"),
        (Answer(200, [("a", "b\0")]), "the header field a holds a character"),
        (Answer(200, [("a", "\x7f")]), "the header field a holds a character"),
        (Answer(200, [("a", "\u0100")]), "the header field a holds a character"),
    ],
)
def test_what_could_end_a_response_and_begin_another_is_no_answer(answer: Answer, cause: str):
    with pytest.raises(InvalidInput, match=cause):
        check_answer(answer, OUTBOX)


@pytest.mark.parametrize(
    "answer",
    [Answer(200), Answer(599, [("x-y", "")], b"x"), Answer(204, [("etag", '"\t ~"')]), Answer(304, [("a", "\xff")])],
)
def test_what_is_an_answer_is_passed_on(answer: Answer):
    check_answer(answer, OUTBOX)


def test_an_inbox_is_one_childs():
    name = inbox_of("cloud", "eu")
    assert (str(name), is_inbox(name), is_inbox(OUTBOX)) == ("cloud/inbox/eu", True, False)


def test_messages_are_forgotten_when_their_time_is_over_and_where_too_many_are_kept_once_their_deadline_has_passed():
    deadlines = {
        "long over": NOW_MS - KEPT_MS - 1,
        "over": NOW_MS - 2,
        "just over": NOW_MS - 1,
        "now": NOW_MS,
        "later": NOW_MS + 1,
    }
    assert forgettable(deadlines, NOW_MS, 4) == ["long over"]
    assert forgettable(deadlines, NOW_MS, 3) == ["long over", "over"]
    assert forgettable(deadlines, NOW_MS, 0) == ["long over", "over", "just over"]


def test_so_many_messages_wait_and_they_are_counted_once_for_all_that_came_together(monkeypatch: pytest.MonkeyPatch):
    counted: list[str] = []
    state = Transaction.state

    def counting(tx: Transaction, scope: str) -> dict[str, bytes]:
        counted.append(scope)
        return state(tx, scope)

    async def main() -> None:
        store = SimStore("plant-a").open()
        fold = InboxFold("plant-a", "eu", Limits({"inbox-messages": 3}))
        messages = [msgspec.structs.replace(MESSAGE, id=key, deadline_ms=1 << 50) for key in "abbcde"]
        records = [msgspec.msgpack.encode(message) for message in messages]
        monkeypatch.setattr(Transaction, "state", counting)
        await store.submit(lambda tx: fold.apply(tx, inbox_of("eu", "plant-a"), 0, records))
        assert counted == [JOBS]
        monkeypatch.undo()
        assert store.state(JOBS).keys() == {"cloud/a", "cloud/b", "cloud/c"}
        refused = [read_part(record, OUTBOX) for record in records_of(store, OUTBOX)]
        assert [(part.id, part.status) for part in refused] == [("d", 429), ("e", 429)]

    run(main)
