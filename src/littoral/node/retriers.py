"""Who applies a dead letter again, by who put it aside (DeadLetter.by).

fold/kv          a neighbour's write that the key-value fold refused
fold/mqtt-relay  a message of another node on a global topic that was refused
write/NAMESPACE  a write that came too late to be sure that its key was not deleted since
window/RULE      a result that a sink of the rule refused; alert/RULE likewise
reading/RULE     a reading that the rule could not use: the rule folds it again, where it was stored (QoS 1)
queue/QUEUE      a message that its consumer failed with too often: it is sent to the queue again
fold/desired     nobody: what is desired may be another thing since
(nothing)        nobody: it tells of damage or of loss, or was put aside by a version that did not say by whom
"""

import asyncio
from collections.abc import Callable

from littoral.core.errors import Conflict, Gone, InvalidInput, NotFound
from littoral.core.limits import Limits
from littoral.core.names import parse_stream_name
from littoral.fleet.desired import DesiredFold
from littoral.fleet.global_relay import GlobalRelay
from littoral.fleet.kv_fold import WRITE, KvFold
from littoral.iot.readings import RawReading, decode_reading, readings_stream
from littoral.iot.rule_engine import RuleEngine
from littoral.iot.rule_runner import RuleRunner
from littoral.iot.rules.output import ALERT, READING, WINDOW
from littoral.node.queue_log import LETTER, send_again
from littoral.store.dead_letters import head_text
from littoral.store.letter_reader import Letter
from littoral.store.store import Store
from littoral.store.transaction import Transaction

FOLD = "fold"
SNAPSHOT = "snapshot of "
"""Before the stream, where the record came with a snapshot."""
Done = Callable[[Transaction], bool]
"""To be called in the transaction that holds the effect; False where the letter is done with already, or gone."""


class Retriers:
    """All that a node can apply again."""

    def __init__(
        self,
        store: Store,
        kv: KvFold,
        rules: RuleEngine,
        limits: Limits | None = None,
        messages: GlobalRelay | None = None,
    ) -> None:
        self._store = store
        self._messages = messages
        self._kv = kv
        self._rules = rules
        self._limits = limits or Limits()

    def retry(self, letter: Letter, done: Done) -> "asyncio.Future[str]":
        """Apply `letter` again; the future says what came of it. It must not be cancelled: what it stands for is under
        way. Raises LittoralError, as the future does: then nothing has happened."""
        kind, _, name = letter.said.by.partition("/")
        if kind == READING:
            return self._retry_reading(letter, name, done)
        apply = self._in_transaction(letter, kind, name)

        def job(tx: Transaction) -> str:
            outcome = apply(tx)
            if not done(tx):
                remedy = "`littoral dlq list` names those that are open"
                raise Conflict("retry", f"dead letter {letter.offset}", "it was just done with, or is gone", remedy)
            return outcome

        return self._store.submit(job)

    def record(self, letter: Letter) -> bytes | None:
        """What could not be applied, wherever it is kept; None where it is nowhere."""
        if letter.record is not None and not letter.said.place:
            return letter.record
        reading = self._reading(letter)
        return reading.payload if reading is not None else None

    def _in_transaction(self, letter: Letter, kind: str, name: str) -> Callable[[Transaction], str]:
        said = letter.said
        if (kind, name) == (FOLD, DesiredFold.name):
            raise _not_again(
                letter, "what is desired may have changed since", "Apply the resource again at the root, and drop this"
            )
        if not kind:
            raise _not_again(
                letter,
                "it does not say who can apply it: it tells of damage or loss, or was put aside by an older version",
                "Do by hand what its reason asks for, and drop it",
            )
        record = letter.record
        if record is None:
            raise _not_again(
                letter,
                "the record is not in it: it was larger than the limit record-bytes let be kept",
                "Send it again from where it came, and drop this",
            )
        if (kind, name) == (FOLD, KvFold.name):
            source = parse_stream_name(said.source.removeprefix(SNAPSHOT).rpartition("@")[0])
            return lambda tx: self._kv.retry(tx, source, record)
        if (kind, name) == (FOLD, GlobalRelay.name) and (messages := self._messages) is not None:
            path, _, place = said.source.removeprefix(SNAPSHOT).partition("@")
            number, origin = int(place or 0), parse_stream_name(path)
            return lambda tx: messages.retry(tx, origin, number, record)
        if kind == WRITE:
            return lambda tx: self._kv.retry_write(tx, name, record)
        if kind == LETTER:
            return lambda tx: send_again(tx, name, record, self._limits)
        if kind in (WINDOW, ALERT):
            runner = self._runner(letter, name)
            return lambda tx: runner.store_again(tx, kind, record)
        raise _not_again(letter, f"this version does not know {said.by[:80]!r}, who put it aside", "Update this node")

    def _retry_reading(self, letter: Letter, rule: str, done: Done) -> "asyncio.Future[str]":
        if not letter.said.place:
            raise _not_again(
                letter,
                "it came with QoS 0, and such readings are not stored",
                "Have the device send it again, and drop this; what is published with QoS 1 can be retried",
            )
        reading = self._reading(letter)
        if reading is None:
            raise Gone(
                "retry",
                f"dead letter {letter.offset}",
                f"the reading is no longer in {readings_stream(self._store.node)}",
                "Have the device send it again, and drop this",
            )
        return self._runner(letter, rule).retry(reading, letter.said.place, done)

    def _runner(self, letter: Letter, rule: str) -> RuleRunner:
        runner = self._rules.runners.get(rule)
        if runner is not None:
            return runner
        refused = self._rules.refused.get(rule)
        subject = f"dead letter {letter.offset}"
        if refused is not None:
            raise Conflict("retry", subject, f"rule {rule} does not run: {refused}", "Mend the rule")
        raise NotFound(
            "retry", subject, f"rule {rule[:80]} is not placed here", "Apply the rule again, or drop the letter"
        )

    def _reading(self, letter: Letter) -> RawReading | None:
        """The stored reading that a letter is about, if it is still there."""
        lineage, _, offset = letter.said.place.rpartition(":")
        name = readings_stream(self._store.node)
        info = self._store.stream(name)
        if lineage != self._store.lineage or info is None or not offset.isdecimal():
            return None
        place = int(offset)
        if not info.first <= place < info.next:
            return None
        batch = self._store.read(name, place, 1)[0]  # The one that holds it, however large.
        reading = decode_reading(batch.records()[place - batch.first])
        said = letter.said
        # The stream may have been deleted and begun anew.
        same = (reading.topic, reading.arrived_ms, len(reading.payload)) == (said.source, said.at_ms, said.size)
        return reading if same and head_text(reading.payload) == said.head else None


def _not_again(letter: Letter, cause: str, remedy: str) -> InvalidInput:
    return InvalidInput("retry", f"dead letter {letter.offset}", cause, remedy)
