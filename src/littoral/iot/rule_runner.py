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
from collections.abc import Callable, Collection

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
from littoral.core.limits import KV_KEY_BYTES, KV_VALUE_BYTES, MQTT_TOPICS, READ_BYTES, Limit, Limits
from littoral.core.names import StreamName
from littoral.core.resources import Rule, topic_matches
from littoral.core.resources.model import Sink
from littoral.iot.readings import decode_reading, readings_stream
from littoral.iot.rules.output import Alert, Output, WindowResult
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
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if is_done else RETRY_S):
                        await self._wake.wait()
        finally:
            stop()
            if self._checkpoint is not None:
                self._checkpoint.cancel()

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

    async def _write(self, offset: int | None) -> None:
        """Commit what was folded since the last time; offset None: of QoS 0 readings only."""
        if offset is None and not (self._unread or self.rule.outputs or self.rule.has_changes):
            return
        outputs, dirty = self.rule.take_outputs(), self.rule.take_dirty()
        unread, self._unread = self._unread, []

        def effect(tx: Transaction) -> None:
            refused = [letter for output in outputs for letter in self._try_to_store(tx, output)]
            letters = [each for each in outputs if isinstance(each, DeadLetter)]
            append_dead_letters(tx, letters + refused + unread)
            for key, state in dirty.items():
                tx.put_state(self._fold, key, state)
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
        try:
            with tx.attempt():
                self._store_output(tx, output)
        except (Conflict, InvalidInput, TooLarge, LimitReached) as error:
            return dead_letters(self._fold, str(error), output.document(), self._wall_ms())
        return []

    def _store_output(self, tx: Transaction, output: WindowResult | Alert) -> None:
        for sink in self._sinks(output):
            if sink.stream is not msgspec.UNSET:
                name = StreamName(tx.node, sink.stream.name)
                tx.open_stream(name, lane=sink.stream.lane)
                tx.append(name, [output.document()])
            elif sink.kv is not msgspec.UNSET:
                key = render_template(sink.kv.key, key=output.key, rule=output.rule)
                value = output.document()
                self._check_size("key", key, len(key.encode()), KV_KEY_BYTES)
                self._check_size("value of key", key, len(value), KV_VALUE_BYTES)
                tx.kv_put(sink.kv.namespace, key, value)

    def _check_size(self, what: str, key: str, size: int, limit: Limit) -> None:
        if size > self._limits[limit]:
            self._limits.hit(limit)
            cause = f"it has {size} bytes; at most {self._limits[limit]} are allowed, the limit {limit.name}"
            raise TooLarge(f"put {what}", key[:80], cause)

    def _sinks(self, output: Output) -> list[Sink]:
        if isinstance(output, WindowResult):
            return self._resource.spec.windows
        return self._resource.spec.alerts if isinstance(output, Alert) else []
