"""One rule at work: follows the raw readings, and commits outputs, state and offset together.

    readings [offset, tail)  ->  fold in memory  ->  one transaction: windows and alerts into their streams, key-value
                                                     writes, dead letters, changed state, new offset
                                                 ->  then publish at the broker

What a crash interrupts was not committed, so it is folded again from the offset that was. QoS 0 readings reach the
same memory through the broker, without being stored; what they produce is committed the same way, about once a second.
"""

import asyncio
from collections.abc import Callable

import msgspec

from littoral.core.errors import Conflict, InvalidInput, StorageCorrupt, TooLarge
from littoral.core.intake import Fold
from littoral.core.limits import MQTT_TOPICS, READ_BYTES, Limits
from littoral.core.names import StreamName
from littoral.core.resources import Rule, topic_matches
from littoral.core.resources.model import Sink
from littoral.iot.readings import decode_reading, readings_stream
from littoral.iot.rules.output import Alert, DeadLetter, Output, WindowResult
from littoral.iot.rules.rule import CompiledRule
from littoral.iot.rules.template import render_template
from littoral.store.dead_letters import DeadLetter as StoredDeadLetter
from littoral.store.dead_letters import append_dead_letters, head_text
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.stubborn import commit_stubbornly
from littoral.store.transaction import Transaction

ADOPTED = "rules"
"""Scope of the state that says which rules have begun here."""
CHECKPOINT_S = 1.0
"""How long the effect of QoS 0 readings may stay in memory alone."""

Publish = Callable[[str, bytes], None]


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
        self._fold = f"rule/{resource.metadata.name}"
        self._wake = asyncio.Event()
        self._matches: dict[str, bool] = {}
        self._unread: list[StoredDeadLetter] = []
        """Records that are no readings, to be put aside with the next commit."""

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

    async def run(self) -> None:
        """Fold until cancelled."""
        stop = self._store.watch(self._note)
        try:
            await self._restore()
            await self._adopt()
            while True:
                self._wake.clear()
                await self._catch_up()
                await self._write(None)
                await self._pause()
        finally:
            stop()

    def _note(self, info: StreamInfo) -> None:
        if info.name == self._readings:
            self._wake.set()

    def _note_failure(self, reason: str) -> None:
        self.failed = reason

    async def _restore(self) -> None:
        """Begin with the state that goes with the offset. It is read by the writer, after what the rule's former
        revision may still have had under way: read sooner, it would lack readings that the offset is already beyond.
        """
        saved: dict[str, bytes] = {}

        def read(tx: Transaction) -> None:
            saved.clear()
            saved.update(tx.state(self._fold))

        await commit_stubbornly(self._store, read, self._note_failure)
        self.rule.restore(saved)

    async def _adopt(self) -> None:
        """A rule that is new here begins with the readings to come."""
        if self._store.state_value(ADOPTED, self._fold) is not None:
            return
        tail = info.next if (info := self._store.stream(self._readings)) else 0

        def adopt(tx: Transaction) -> None:
            if tx.stream(self._readings) is not None:
                tx.set_fold(self._fold, self._readings, tail)
            tx.put_state(ADOPTED, self._fold, b"")

        await commit_stubbornly(self._store, adopt, self._note_failure)

    async def _catch_up(self) -> None:
        info = self._store.stream(self._readings)
        if info is None:
            return
        offset = self.offset
        while offset < info.next:
            batches = self._store.read(self._readings, max(offset, info.first), self._limits[READ_BYTES])
            for batch in batches:
                for place, record in enumerate(batch.records(), batch.first):
                    if place >= offset:
                        self._take_in(record, f"{self._store.lineage}:{place}")
                offset = batch.next
                await self._write(offset)
            if not batches:  # retention has taken all that there was
                offset = info.next
                await self._write(offset)
            info = self._store.stream(self._readings) or info

    def _take_in(self, record: bytes, reading_id: str) -> None:
        try:
            reading = decode_reading(record)
        except StorageCorrupt as error:
            source = f"{self._readings}@{reading_id}"
            self._unread.append(StoredDeadLetter(source, str(error), head_text(record), self._wall_ms()))
            return
        if self.wants(reading.topic):
            self.rule.fold(reading.topic, reading.payload, reading.arrived_ms, reading_id)

    async def _write(self, offset: int | None) -> None:
        """Commit what was folded since the last time; offset None: of QoS 0 readings only."""
        outputs, dirty = self.rule.take_outputs(), self.rule.take_dirty()
        unread, self._unread = self._unread, []
        if offset is None and not outputs and not dirty:
            return

        def effect(tx: Transaction) -> None:
            refused = [letter for output in outputs if (letter := self._try_to_store(tx, output)) is not None]
            letters = [_dead_letter(each) for each in outputs if isinstance(each, DeadLetter)]
            append_dead_letters(tx, letters + refused + unread)
            for key, state in dirty.items():
                tx.put_state(self._fold, key, state)
            if offset is not None:
                tx.set_fold(self._fold, self._readings, offset)

        await commit_stubbornly(self._store, effect, self._note_failure)
        for output in outputs:
            for sink in self._sinks(output):
                if sink.mqtt is not msgspec.UNSET and not isinstance(output, DeadLetter):
                    topic = render_template(sink.mqtt.topic, key=output.key, rule=output.rule)
                    self._publish(topic, output.document())

    def _try_to_store(self, tx: Transaction, output: Output) -> StoredDeadLetter | None:
        """Put an output where it belongs; if that can never be, what is to be said of it: the rule goes on."""
        if isinstance(output, DeadLetter):
            return None
        try:
            with tx.attempt():
                self._store_output(tx, output)
        except (Conflict, InvalidInput, TooLarge) as error:
            rule = self._resource.metadata.name
            return StoredDeadLetter(f"rule/{rule}", str(error), head_text(output.document()), self._wall_ms())
        return None

    def _store_output(self, tx: Transaction, output: WindowResult | Alert) -> None:
        for sink in self._sinks(output):
            if sink.stream is not msgspec.UNSET:
                name = StreamName(tx.node, sink.stream.name)
                tx.open_stream(name, lane=sink.stream.lane)
                tx.append(name, [output.document()])
            elif sink.kv is not msgspec.UNSET:
                key = render_template(sink.kv.key, key=output.key, rule=output.rule)
                tx.kv_put(sink.kv.namespace, key, output.document())

    def _sinks(self, output: Output) -> list[Sink]:
        if isinstance(output, WindowResult):
            return self._resource.spec.windows
        return self._resource.spec.alerts if isinstance(output, Alert) else []

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(CHECKPOINT_S):
                await self._wake.wait()
        except TimeoutError:
            return


def _dead_letter(letter: DeadLetter) -> StoredDeadLetter:
    reason = f"rule {letter.rule}: {letter.reason}: {letter.detail}"
    return StoredDeadLetter(letter.topic, reason, head_text(letter.first), letter.arrived_ms)
