"""What is asked of a worker, and what it answers: JSON, a line each."""

import msgspec

from littoral.testing.simulation.history import History
from littoral.testing.simulation.plan import Plan
from littoral.testing.simulation.run import Outcome


class Order(msgspec.Struct, frozen=True):
    """One run. See `run.simulate`."""

    plan: Plan
    whole: bool = True
    record: bool = False
    """Also: send the history back."""


class Answer(msgspec.Struct, frozen=True):
    """What became of it."""

    outcome: Outcome
    history: History | None


_encode = msgspec.json.Encoder().encode
order_of_line = msgspec.json.Decoder(Order).decode
answer_of_line = msgspec.json.Decoder(Answer).decode


def order_to_line(order: Order) -> bytes:
    """With its end."""
    return _encode(order) + b"\n"


def answer_to_line(answer: Answer) -> bytes:
    """With its end."""
    return _encode(answer) + b"\n"
