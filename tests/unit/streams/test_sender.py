"""What is noted of what goes up, while the node is busy with other things."""

import asyncio

from littoral.core.errors import LimitReached
from littoral.core.names import StreamName
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.outbox import UPLINK_FOLD
from littoral.streams.sender import MARKS_EVERY_S
from littoral.testing.loop import run
from tests.support.neighbours import CHILD, Neighbours
from tests.support.stores import name

S, OTHER = name(f"{CHILD}/s"), name(f"{CHILD}/other")


def is_keeping_marks(job: object) -> bool:
    """Whether it is the job of the sender's that keeps on disk how far the parent has the streams."""
    return "keep_marks" in getattr(job, "__qualname__", "")


def test_a_stream_made_anew_before_its_frame_goes_gets_no_mark_of_the_one_before(seed, monkeypatch):
    async def main() -> None:
        both = Neighbours(seed)
        # What a frame lacks is noted on disk before it goes: here that takes its time.
        note, noting, noted = both.uplink._kv_again.note, asyncio.Event(), asyncio.Event()

        async def slowly(frame) -> None:
            noting.set()
            await noted.wait()
            await note(frame)

        monkeypatch.setattr(both.uplink._kv_again, "note", slowly)
        await both.append(both.child, S, b"1", b"2", b"3")
        both.start()
        await noting.wait()

        def anew(tx) -> None:
            tx.delete_stream(S)
            tx.open_stream(S)
            tx.append(S, [b"new", b"newer", b"newest"])

        await both.child.submit(anew)
        noted.set()
        # As many as there were before: a mark of that stream would say that the parent has them.
        await both.until(lambda: both.at_parent(S) == [b"new", b"newer", b"newest"])
        assert both.uplink.outbox.blocked == {}
        await both.stop()

    run(main, seed)


def test_marks_that_cannot_be_kept_end_nothing_and_are_kept_later(seed, monkeypatch):
    async def main() -> None:
        both = Neighbours(seed)
        submit, full = both.child.submit, True

        def refusing(job):
            if full and is_keeping_marks(job):
                raise LimitReached("write to", "store", "too many jobs are waiting")
            return submit(job)

        monkeypatch.setattr(both.child, "submit", refusing)
        both.start()
        for n in range(5):
            await both.append(both.child, S, b"%d" % n)
            await asyncio.sleep(2 * MARKS_EVERY_S)
        assert len(both.at_parent(S)) == 5
        assert both.uplink.state.sessions == 1
        assert both.child.fold_offset(UPLINK_FOLD, S) == 0
        full = False
        await both.append(both.child, OTHER, b"1")
        await both.until(lambda: both.child.fold_offset(UPLINK_FOLD, S) == 5)
        await both.stop()

    run(main, seed)


def test_no_mark_is_kept_of_a_stream_that_is_made_anew_before_it_is_written(seed, monkeypatch):
    async def main() -> None:
        both = Neighbours(seed)
        submit, anew = both.child.submit, False

        def replace(tx) -> None:
            tx.delete_stream(S)
            tx.open_stream(S)

        def just_before(job):
            nonlocal anew
            if is_keeping_marks(job) and not anew:
                anew = True
                submit(replace)
            return submit(job)

        await both.append(both.child, S, b"1")
        monkeypatch.setattr(both.child, "submit", just_before)
        await asyncio.sleep(2 * MARKS_EVERY_S)
        both.start()
        await both.until(lambda: anew)
        await asyncio.sleep(10)
        assert both.child.fold_offset(UPLINK_FOLD, S) == 0
        await both.stop()

    run(main, seed)


class Noting:
    """A transaction, and the streams whose marks are written in it."""

    def __init__(self, tx: Transaction, noted: list[StreamName]) -> None:
        self._tx = tx
        self._noted = noted

    def stream(self, stream: StreamName) -> StreamInfo | None:
        return self._tx.stream(stream)

    def set_fold(self, fold: str, stream: StreamName, offset: int) -> None:
        self._noted.append(stream)
        self._tx.set_fold(fold, stream, offset)


def test_marks_that_did_not_change_are_not_written_again(seed, monkeypatch):
    async def main() -> None:
        both = Neighbours(seed)
        for n in range(20):
            await both.append(both.child, name(f"{CHILD}/quiet/{n}"), b"1")
        both.start()
        await both.until(lambda: len(both.parent.streams()) == 20)
        await asyncio.sleep(2 * MARKS_EVERY_S)
        await both.append(both.child, S, b"1")
        await both.until(lambda: both.child.fold_offset(UPLINK_FOLD, S) == 1)
        submit = both.child.submit
        noted: list[StreamName] = []

        def watched(job):
            return submit((lambda tx: job(Noting(tx, noted))) if is_keeping_marks(job) else job)

        monkeypatch.setattr(both.child, "submit", watched)
        await asyncio.sleep(2 * MARKS_EVERY_S)
        for n in range(5):
            await both.append(both.child, S, b"%d" % n)
            await asyncio.sleep(2 * MARKS_EVERY_S)
        assert noted == [S] * 5
        await both.stop()

    run(main, seed)


def test_a_stream_that_was_held_is_tried_again_though_its_wait_ends_while_others_are_looked_at(seed, monkeypatch):
    """The sender waits for a moment that has come already: it looks again at once."""

    async def main() -> None:
        both = Neighbours(seed)
        holds, outbox = both.uplink.holds, both.uplink.outbox
        both.start()
        await both.until(lambda: both.uplink.state.connected)
        take, at_s = outbox.take, holds._clock.monotonic_s
        skipped = 0.0

        class Skipping:
            """The clock moves on just after the look, as it does where the process is not scheduled for a while."""

            def monotonic_s(self) -> float:
                return at_s() + skipped

            def wall_ms(self) -> int:
                raise AssertionError

        def late(lanes, most):
            nonlocal skipped
            frame = take(lanes, most)
            if holds._waits and not frame and not skipped:
                skipped = 1.0
            return frame

        holds._clock = both.uplink._sender._clock = Skipping()
        monkeypatch.setattr(outbox, "take", late)
        holds.hold(S, "full")
        await both.append(both.child, S, b"1")
        async with asyncio.timeout(60):
            while not both.at_parent(S):
                await asyncio.sleep(0.1)
        assert skipped
        await both.stop()

    run(main, seed)
