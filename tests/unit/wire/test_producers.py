import pytest

from littoral.wire.durable_streams import Producer
from littoral.wire.producers import ProducerState, Verdict, judge


@pytest.mark.parametrize(
    ("state", "epoch", "seq", "verdict"),
    [
        (None, 0, 0, Verdict.NEW),
        (None, 3, 0, Verdict.NEW),
        (None, 0, 1, Verdict.GAP),
        ((1, 4), 1, 5, Verdict.NEW),
        ((1, 4), 1, 4, Verdict.DUPLICATE),
        ((1, 4), 1, 0, Verdict.DUPLICATE),
        ((1, 4), 1, 6, Verdict.GAP),
        ((1, 4), 0, 5, Verdict.STALE),
        ((1, 4), 0, 0, Verdict.STALE),
        ((1, 4), 2, 0, Verdict.NEW),
        ((1, 4), 2, 1, Verdict.BAD_START),
    ],
)
def test_the_table(state: tuple[int, int] | None, epoch: int, seq: int, verdict: Verdict) -> None:
    known = None if state is None else ProducerState(*state)
    assert judge(known, Producer("p", epoch, seq)) is verdict
