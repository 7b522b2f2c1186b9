"""One rule at work: follows the raw readings, and commits outputs, state and offset together.

    readings [offset, tail)  ->  fold in memory  ->  one transaction: windows and alerts into their streams, key-value
                                                     writes, dead letters, changed state, new offset
                                                 ->  then publish at the broker

What cannot be read, now or ever, goes to the dead letters and is stepped over; what can be read later is waited for.
What a crash interrupts was not committed, so it is folded again from the offset that was. QoS 0 readings reach the
same memory through the broker, without being stored; what they produce is committed the same way, about once a second.

Publishing is not part of the commit: an MQTT sink gets each result at most once, none if the process is killed between
the two. And a device that sends a reading of QoS 1 again has it counted twice, unless it numbers its readings.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence

import msgspec

from littoral.core.errors import (
    Conflict,
    Gone,
    InvalidInput,
    LimitReached,
    LittoralError,
    NotFound,
    StorageCorrupt,
    TooLarge,
)
from littoral.core.intake import Fold
from littoral.core.limit import Limit
from littoral.core.limits import KV_KEY_BYTES, KV_VALUE_BYTES, READ_BYTES, Limits
from littoral.core.mqtt_limits import MQTT_TOPICS
from littoral.core.names import StreamName
from littoral.core.resources import Rule, topic_matches
from littoral.core.resources.rule import Sink
from littoral.iot.readings import RawReading, decode_reading, readings_stream
from littoral.iot.retry import ReadingRetry, Result, read_result
from littoral.iot.rules.output import ALERT, WINDOW, Alert, Output, WindowResult
from littoral.iot.rules.rule import CompiledRule
from littoral.iot.rules.template import render_template
from littoral.store.batch import Batch
from littoral.store.dead_letters import DeadLetter, append_dead_letters, dead_letters
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.stubborn import RETRY_S, commit_stubbornly
from littoral.store.transaction import Transaction

ADOPTED = "rules"
"""Scope of the state that says which rules have begun here."""
CHECKPOINT_S = 1.0
"""How long the effect of QoS 0 readings may stay in memory alone."""

Publish = Callable[[str, bytes], None]


def _fold_name(rule: str) -> str:
    return f"rule/{rule}"


async def forget_rule(store: Store, rule: str, after: Collection[asyncio.Task[None]]) -> None:
    """Remove what a rule that was withdrawn remembers, once `after` have ended. If it comes back, it is new here."""
    fold = _fold_name(rule)

    def remove(tx: Transaction) -> None:
        tx.clear_state(fold)
        tx.put_state(ADOPTED, fold, None)

    if after:
        await asyncio.wait(after)
    await commit_stubbornly(store, remove, lambda reason: None)


class RuleRunner:
    """Runs one rule over one store."""

    def __init__(
        self, store: Store, resource: Rule, publish: Publish, wall_ms: Callable[[], int], limits: Limits
    ) -> None:
        """A changed rule goes on with the state of the one before it by the same name: open windows and numbers already
        seen are not forgotten for a new threshold. Raises InvalidResource.
        """
        self.rule = CompiledRule(resource, store.node, limits)
        self.failed = ""
        """Why the rule waits to try again; empty while it is well."""
        self._store = store
        self._resource = resource
        self._publish = publish
        self._wall_ms = wall_ms
        self._limits = limits
        self._readings = readings_stream(store.node)
        self._fold = _fold_name(resource.metadata.name)
        self._wake = asyncio.Event()
        self._checkpoint: asyncio.TimerHandle | None = None
        """When the effect of QoS 0 readings is committed, if there is any."""
        self.rule.stirred = self._stirred
        self._matches: dict[str, bool] = {}
        self._unread: list[DeadLetter] = []
        """Of what could not be read; to be put aside with the next commit."""
        self._retries: list[ReadingRetry] = []

    @property
    def offset(self) -> int:
        """Up to where the rule has folded the raw readings."""
        return self._store.fold_offset(self._fold, self._readings)

    def wants(self, topic: str) -> bool:
        """Whether readings of `topic` are this rule's."""
        found = self._matches.get(topic)
        if found is None:
            if len(self._matches) >= self._limits[MQTT_TOPICS]:
                self._limits.hit(MQTT_TOPICS)
                self._matches.clear()
            found = self._matches[topic] = topic_matches(self._resource.spec.source.mqtt.topic, topic)
        return found

    def intake(self, topic: str) -> Fold:
        """The fold for QoS 0 readings of `topic`."""
        return self.rule.intake(topic, self._wall_ms)

    def retry(
        self, reading: RawReading, reading_id: str, done: Callable[[Transaction], object]
    ) -> "asyncio.Future[str]":
        """Fold a stored reading that this rule had put aside; `done` is called in the transaction that holds its effect.

        Raises InvalidInput, as the future does, for a reading that the rule refuses again; the future: Unavailable if
        the rule ends meanwhile.
        """
        if not self.wants(reading.topic):
            raise InvalidInput(
                "apply reading of",
                reading.topic,
                f"rule {self.rule.name} takes no readings of this topic any more",
                "Drop the letter, or mend the rule's topic",
            )
        retry = ReadingRetry(reading, reading_id, done, asyncio.get_running_loop().create_future())
        self._retries.append(retry)
        self._wake.set()
        return retry.future

    def store_again(self, tx: Transaction, kind: str, document: bytes) -> str:
        """Put a result that a sink had refused where such results belong now; kind: WINDOW or ALERT. Returns what came
        of it. Raises as `Transaction.append`."""
        result = read_result(document)
        sinks = self._resource.spec.windows if kind == WINDOW else self._resource.spec.alerts
        if not sinks:
            raise InvalidInput(
                f"store {kind} of", f"rule {self.rule.name}", "the rule has no sinks for it any more", "Drop the letter"
            )
        left = self._store_document(tx, sinks, result, document, result.is_outdone_by)
        return f"stored; a later one was left in {', '.join(left)}" if left else "stored"

    async def run(self, after: asyncio.Task[None] | None = None) -> None:
        """Fold until cancelled. after: what must end before this may begin."""
        stop = self._store.watch(self._note)
        try:
            if after is not None:
                await asyncio.wait([after])
            await self._begin()
            while True:
                self._wake.clear()
                is_done = await self._try_to_catch_up()
                await self._write(None)
                await self._fold_again()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if is_done else RETRY_S):
                        await self._wake.wait()
        finally:
            stop()
            if self._checkpoint is not None:
                self._checkpoint.cancel()
            for retry in self._retries:
                retry.interrupted(self.rule.name)

    def _note(self, info: StreamInfo) -> None:
        if info.name == self._readings:
            self._wake.set()

    def _stirred(self) -> None:
        if self._checkpoint is None:
            self._checkpoint = asyncio.get_running_loop().call_later(CHECKPOINT_S, self._checkpoint_due)

    def _checkpoint_due(self) -> None:
        self._checkpoint = None
        self._wake.set()

    def _note_failure(self, reason: str) -> None:
        self.failed = reason

    async def _begin(self) -> None:
        """Begin with the state that goes with the offset; a rule that is new here begins with the readings to come.

        The state is read by the writer, after what the rule's former revision may still have had under way: read
        sooner, it would lack readings that the offset is already beyond.
        """
        saved: dict[str, bytes] = {}
        tail = info.next if (info := self._store.stream(self._readings)) else 0

        def begin(tx: Transaction) -> None:
            saved.clear()
            saved.update(tx.state(self._fold))
            if tx.get_state(ADOPTED, self._fold) is not None:
                return
            if tx.stream(self._readings) is not None:
                tx.set_fold(self._fold, self._readings, tail)
            tx.put_state(ADOPTED, self._fold, b"")

        await commit_stubbornly(self._store, begin, self._note_failure)
        for key, error in self.rule.restore(saved).items():
            self._put_aside(f"{self._fold}/{key}", str(error), saved[key])

    async def _try_to_catch_up(self) -> bool:
        """Fold what there is; False if that is to be tried again."""
        try:
            await self._catch_up()
        except (Gone, NotFound):
            # Retention or deletion is on disk and not yet published.
            return False
        except LittoralError as error:
            self.failed = str(error)
            return False
        self.failed = ""
        return True

    async def _catch_up(self) -> None:
        info = self._store.stream(self._readings)
        if info is None:
            return
        offset = self.offset
        while offset < info.next:
            batches = self._store.read(self._readings, max(offset, info.first), self._limits[READ_BYTES])
            for batch in batches:
                self._note_gap(offset, batch.first)
                self._take_in_batch(batch, offset)
                offset = batch.next
                await self._write(offset)
            if not batches:  # retention has taken all that there was
                self._note_gap(offset, info.next)
                offset = info.next
                await self._write(offset)
            info = self._store.stream(self._readings) or info

    def _note_gap(self, offset: int, following: int) -> None:
        """What is folded next begins at `following`: say what is missing since `offset`."""
        lost = following - offset
        if lost > 0:
            self.rule.lose(lost)
            reason = f"{self._fold}: retention took {lost} readings before the rule had folded them"
            self._put_aside(f"{self._readings}@{offset}", reason, b"")

    def _take_in_batch(self, batch: Batch, offset: int) -> None:
        try:
            records = batch.records()
        except StorageCorrupt as error:
            self._put_aside(f"{self._readings}@{batch.first}", f"{self._fold}: {error}", batch.payload)
            return
        for place, record in enumerate(records, batch.first):
            if place >= offset:
                self._take_in(record, f"{self._store.lineage}:{place}")

    def _put_aside(self, source: str, reason: str, record: bytes) -> None:
        self._unread += dead_letters(source, reason, record, self._wall_ms())

    def _take_in(self, record: bytes, reading_id: str) -> None:
        try:
            reading = decode_reading(record)
        except StorageCorrupt as error:
            self._put_aside(f"{self._readings}@{reading_id}", str(error), record)
            return
        if self.wants(reading.topic):
            self.rule.fold(reading.topic, reading.payload, reading.arrived_ms, reading_id)

    async def _fold_again(self) -> None:
        """What is asked for by `retry`."""
        folded: list[ReadingRetry] = []
        for retry in tuple(self._retries):
            refusal = self._refusal(retry)
            if refusal is None:
                folded.append(retry)
            else:
                self._retries.remove(retry)
                retry.refused(refusal)
        if folded:
            await self._write(None, folded)
        for retry in folded:
            self._retries.remove(retry)
            retry.future.set_result("applied")

    def _refusal(self, retry: ReadingRetry) -> DeadLetter | None:
        """Fold the reading; if the rule puts it aside again, that letter, which is not to be written."""
        outputs = self.rule.outputs
        before = len(outputs)
        self.rule.fold(retry.reading.topic, retry.reading.payload, retry.reading.arrived_ms, retry.reading_id)
        last = outputs[-1] if len(outputs) > before else None
        if not isinstance(last, DeadLetter):
            return None
        outputs.pop()
        return last

    async def _write(self, offset: int | None, retries: Sequence[ReadingRetry] = ()) -> None:
        """Commit what was folded since the last time; offset None: of QoS 0 readings, and of `retries`, only."""
        if offset is None and not (retries or self._unread or self.rule.outputs or self.rule.has_changes):
            return
        outputs, dirty = self.rule.take_outputs(), self.rule.take_dirty()
        unread, self._unread = self._unread, []

        def effect(tx: Transaction) -> None:
            refused = [letter for output in outputs for letter in self._try_to_store(tx, output)]
            letters = [each for each in outputs if isinstance(each, DeadLetter)]
            append_dead_letters(tx, letters + refused + unread)
            for key, state in dirty.items():
                tx.put_state(self._fold, key, state)
            for retry in retries:
                retry.done(tx)
            if offset is not None and tx.stream(self._readings) is not None:
                tx.set_fold(self._fold, self._readings, offset)

        await commit_stubbornly(self._store, effect, self._note_failure)
        for output in outputs:
            for sink in self._sinks(output):
                if sink.mqtt is not msgspec.UNSET and not isinstance(output, DeadLetter):
                    topic = render_template(sink.mqtt.topic, key=output.key, rule=output.rule)
                    self._publish(topic, output.document())

    def _try_to_store(self, tx: Transaction, output: Output) -> list[DeadLetter]:
        """Put an output where it belongs; if that cannot be, what is to be said of it: the rule goes on."""
        if isinstance(output, DeadLetter):
            return []
        document = output.document()
        try:
            with tx.attempt():
                self._store_document(tx, self._sinks(output), output, document)
        except (Conflict, InvalidInput, TooLarge, LimitReached) as error:
            by = f"{WINDOW if isinstance(output, WindowResult) else ALERT}/{self.rule.name}"
            return dead_letters(self._fold, str(error), document, self._wall_ms(), by)
        return []

    def _store_document(
        self,
        tx: Transaction,
        sinks: Sequence[Sink],
        result: WindowResult | Alert | Result,
        document: bytes,
        leaves: Callable[[bytes | None], bool] | None = None,
    ) -> list[str]:
        """Put it into each of the sinks. leaves: whether a key is left alone that holds this value; returns those."""
        left: list[str] = []
        for sink in sinks:
            if sink.stream is not msgspec.UNSET:
                name = StreamName(tx.node, sink.stream.name)
                tx.open_stream(name, lane=sink.stream.lane)
                tx.append(name, [document], essential=True)
            elif sink.kv is not msgspec.UNSET:
                key = render_template(sink.kv.key, key=result.key, rule=result.rule)
                self._check_size("key", key, len(key.encode()), KV_KEY_BYTES)
                self._check_size("value of key", key, len(document), KV_VALUE_BYTES)
                held = tx.kv_get(sink.kv.namespace, key) if leaves is not None else None
                value = held.value if held is not None and held.lives(tx.now_ms) else None
                if leaves is not None and held is not None and leaves(value):
                    left.append(f"{sink.kv.namespace}/{key}")
                else:
                    tx.kv_put(sink.kv.namespace, key, document)
        return left

    def _check_size(self, what: str, key: str, size: int, limit: Limit) -> None:
        if size > self._limits[limit]:
            self._limits.hit(limit)
            cause = f"it has {size} bytes; at most {self._limits[limit]} are allowed, the limit {limit.name}"
            raise TooLarge(f"put {what}", key[:80], cause)

    def _sinks(self, output: Output) -> list[Sink]:
        if isinstance(output, WindowResult):
            return self._resource.spec.windows
        return self._resource.spec.alerts if isinstance(output, Alert) else []
