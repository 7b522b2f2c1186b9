"""What a rule put aside, tried again: readings that it could not use, and results that a sink refused."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from littoral.core.errors import InvalidInput, Unavailable
from littoral.core.undecodable import UNDECODABLE
from littoral.iot.readings import RawReading
from littoral.store.dead_letters import DeadLetter
from littoral.store.transaction import Transaction


@dataclass(frozen=True, slots=True, eq=False)
class ReadingRetry:
    """A stored reading that waits to be folded by the rule that had put it aside."""

    reading: RawReading
    reading_id: str
    done: Callable[[Transaction], object]
    """To be called in the transaction that holds its effect."""
    future: "asyncio.Future[str]"

    def refused(self, letter: DeadLetter) -> None:
        """The rule has put it aside again."""
        self.future.set_exception(
            InvalidInput("apply reading of", self.reading.topic, letter.reason, "Mend the rule, or drop the letter")
        )

    def interrupted(self, rule: str) -> None:
        """The rule ended before it was known what came of it."""
        self.future.set_exception(
            Unavailable("apply reading of", self.reading.topic, f"rule {rule} is being changed or ended", "Try again")
        )


class Result(msgspec.Struct, frozen=True):
    """What is looked at of a stored result."""

    key: str
    rule: str
    end: int = 0
    """Of a window, ms since the epoch."""
    ts: int = 0
    """Of an alert."""

    def is_outdone_by(self, value: bytes | None) -> bool:
        """Whether the value is a later result of the same rule and key."""
        try:
            held = _decode(value or b"")
        except UNDECODABLE:
            return False
        same = (held.key, held.rule) == (self.key, self.rule)
        return same and (held.end, held.ts) > (self.end, self.ts)


_decode = msgspec.json.Decoder(Result).decode


def read_result(document: bytes) -> Result:
    """A result that was put aside. Raises InvalidInput."""
    try:
        return _decode(document)
    except UNDECODABLE as error:
        raise InvalidInput("store result", "of a dead letter", f"it is none: {error}", "Drop the letter") from error
