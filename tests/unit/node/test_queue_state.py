"""Tests for littoral.node.queue_state: against a model, with restarts at every step."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from littoral.node.queue_state import QueueState, Row, Rows, Seen


@dataclass
class Disk:
    """What was written, as a store keeps it."""

    read: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    keep_from: int = 0

    def write(self, rows: Rows) -> None:
        self.read = rows.read
        self.rows.update(rows.put)
        for offset in rows.remove:
            self.rows.pop(offset, None)
        assert rows.keep_from >= self.keep_from, "what is not needed was needed no more before"
        self.keep_from = rows.keep_from


def state_with(*messages: Seen) -> tuple[QueueState, Disk]:
    state = QueueState(0, {})
    state.see(messages)
    return state, Disk()


def test_messages_are_given_in_order_and_gone_when_done() -> None:
    state, disk = state_with(*(Seen(offset, 0, 10) for offset in range(5)))
    batch, rows = state.take(0, 3, 1000)
    disk.write(rows)
    assert batch == [(0, 1), (1, 1), (2, 1)]
    assert (disk.read, disk.keep_from) == (3, 0)
    disk.write(state.settle([0, 1, 2], {}))
    assert (disk.read, disk.rows, disk.keep_from) == (3, {}, 3)
    assert (state.below, state.taken, state.known) == (0, 0, 2)


def test_a_batch_has_no_more_bytes_than_it_may_but_one_message() -> None:
    state, _ = state_with(Seen(0, 0, 500), Seen(1, 0, 60), Seen(2, 0, 40), Seen(3, 0, 1))
    assert state.take(0, 10, 100)[0] == [(0, 1)]
    assert state.take(0, 10, 100)[0] == [(1, 1), (2, 1)]
    assert state.take(0, 10, 100)[0] == [(3, 1)]


def test_delayed_messages_are_passed_over_and_not_forgotten() -> None:
    state, disk = state_with(Seen(0, 1000, 1), Seen(1, 0, 1), Seen(2, 500, 1))
    assert (state.ready(0), state.next_due_ms()) == (1, 500)
    batch, rows = state.take(0, 10, 100)
    disk.write(rows)
    assert batch == [(1, 1)]
    disk.write(state.settle([1], {}))
    assert disk.rows == {0: Row(0, 1000)}
    again = QueueState(disk.read, disk.rows)
    again.see([Seen(0, 1000, 1), Seen(2, 500, 1)])
    assert again.take(999, 10, 100)[0] == [(2, 1)]
    assert again.take(1000, 10, 100)[0] == [(0, 1)]


def test_what_was_taken_is_given_again_after_a_crash_with_its_attempt_counted() -> None:
    state, disk = state_with(Seen(0, 0, 1), Seen(1, 0, 1))
    disk.write(state.take(0, 1, 100)[1])
    again = QueueState(disk.read, disk.rows)
    assert again.unseen_rows == [0]
    again.see([Seen(0, 0, 1), Seen(1, 0, 1)])
    assert again.take(0, 10, 100)[0] == [(0, 2), (1, 1)]


def test_what_nobody_got_was_no_attempt() -> None:
    state, disk = state_with(Seen(0, 0, 1))
    disk.write(state.take(0, 1, 100)[1])
    disk.write(state.give_back([0]))
    assert disk.rows == {0: Row(0, 0)}
    assert state.take(0, 1, 100)[0] == [(0, 1)]


def test_a_purge_takes_what_is_taken_too() -> None:
    state, disk = state_with(Seen(0, 0, 1), Seen(1, 99, 1))
    disk.write(state.take(0, 1, 100)[1])
    disk.write(state.purge(7))
    assert (disk.read, disk.rows, disk.keep_from) == (7, {}, 7)
    disk.write(state.settle([], {0: 5}))
    assert (disk.rows, state.known, state.taken) == ({}, 0, 0)


class QueueModel(RuleBasedStateMachine):
    """Whatever happens, in whatever order: no message is lost, none is with two consumers, none is stuck."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk()
        self.now = 0
        self.sent: list[Seen] = []
        self.open: set[int] = set()
        self.attempts: dict[int, int] = {}
        self.taken: set[int] = set()
        self.restart()

    @rule()
    def restart(self) -> None:
        """The process dies: what is in memory is gone, what is needed on disk is there."""
        self.state = QueueState(self.disk.read, self.disk.rows)
        self.taken.clear()
        for offset in self.state.unseen_rows:
            assert offset >= self.disk.keep_from
            self.state.see([self.sent[offset]])
        self.look()

    @rule(delays=st.lists(st.sampled_from([0, 0, 5, 50]), min_size=1, max_size=5))
    def send(self, delays: list[int]) -> None:
        for delay in delays:
            self.open.add(len(self.sent))
            self.sent.append(Seen(len(self.sent), self.now + delay if delay else 0, 10))

    @rule()
    def look(self) -> None:
        self.state.see(self.sent[max(self.state.seen, self.disk.keep_from) :])

    @rule(step=st.integers(min_value=-3, max_value=40))
    def time(self, step: int) -> None:
        self.now = max(0, self.now + step)

    @rule(most=st.integers(min_value=1, max_value=4), written=st.booleans())
    def take(self, most: int, written: bool) -> None:
        batch, rows = self.state.take(self.now, most, 1000)
        if not written:
            self.restart()
            return
        self.disk.write(rows)
        for offset, attempts in batch:
            assert offset in self.open
            assert offset not in self.taken
            assert self.sent[offset].due_ms <= self.now or self.attempts.get(offset)
            self.taken.add(offset)
            self.attempts[offset] = self.attempts.get(offset, 0) + 1
            assert attempts == self.attempts[offset]

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        batch = data.draw(st.lists(st.sampled_from(sorted(self.taken)), unique=True, min_size=1))
        fate = data.draw(st.lists(st.sampled_from(["done", "again", "back"]), min_size=len(batch), max_size=len(batch)))
        kinds = {kind: [o for o, each in zip(batch, fate, strict=True) if each == kind] for kind in ("done", "again")}
        back = [o for o, each in zip(batch, fate, strict=True) if each == "back"]
        self.disk.write(self.state.settle(kinds["done"], dict.fromkeys(kinds["again"], self.now + 7)))
        self.disk.write(self.state.give_back(back))
        self.taken -= set(batch)
        self.open -= set(kinds["done"])
        for offset in back:
            self.attempts[offset] -= 1

    @rule()
    def purge(self) -> None:
        self.disk.write(self.state.purge(len(self.sent)))
        self.open.clear()
        self.taken.clear()

    @invariant()
    def nothing_is_lost(self) -> None:
        known = {offset for offset in self.open if offset < self.disk.read}
        assert known == self.disk.rows.keys()
        assert self.state.below == len(known)
        assert self.state.taken == len(self.taken)
        assert all(offset >= self.disk.keep_from for offset in self.open)

    def teardown(self) -> None:
        """At last everything can be given away."""
        self.restart()
        self.now = 1 << 40
        given = set()
        while batch := self.state.take(self.now, 100, 1 << 30)[0]:
            given |= {offset for offset, _ in batch}
        assert given == self.open


TestQueueModel = QueueModel.TestCase
TestQueueModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
