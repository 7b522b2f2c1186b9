"""Idempotent producers of the Durable Streams protocol: is this append new, known, late, early, or a zombie's?

state \\ append     seq <= last    seq == last + 1    seq > last + 1
none               -              NEW (seq is 0)     GAP
same epoch         DUPLICATE      NEW                GAP
older epoch        STALE          STALE              STALE
newer epoch        NEW if seq is 0, else BAD_START
"""

from enum import Enum, auto
from typing import NamedTuple

from littoral.wire.durable_streams import Producer


class Verdict(Enum):
    """What an append is, judged by its producer's state."""

    NEW = auto()
    DUPLICATE = auto()
    GAP = auto()
    STALE = auto()
    BAD_START = auto()


class ProducerState(NamedTuple):
    """The last append accepted from a producer on one stream."""

    epoch: int
    seq: int


def judge(state: ProducerState | None, producer: Producer) -> Verdict:
    """Place an append in the table above."""
    if state is None:
        return Verdict.NEW if producer.seq == 0 else Verdict.GAP
    if producer.epoch < state.epoch:
        return Verdict.STALE
    if producer.epoch > state.epoch:
        return Verdict.NEW if producer.seq == 0 else Verdict.BAD_START
    if producer.seq <= state.seq:
        return Verdict.DUPLICATE
    return Verdict.NEW if producer.seq == state.seq + 1 else Verdict.GAP
