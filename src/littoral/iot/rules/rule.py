"""A rule, compiled: readings in, outputs and state out. No I/O, no clock; whoever drives it commits what it says.

Rules:

- A reading goes through: decode and check, key, duplicate, window, detector. What fails a step is not seen by the
  next: a late reading is marked as seen but not scored.
- State and outputs belong into one transaction: `take_outputs` and `take_dirty` together are what the readings
  folded since the last time have changed. If that transaction fails, `restore` from the store and fold again.
- `fold` and the closures of `intake` give the same results for the same readings, in any mixture.
- An alert is named by the device's number of the reading, else by the reading's place in the stored stream, else
  (a reading of QoS 0, never stored) by how many readings of its key were scored before. The last is as good: what
  was counted after the last commit was never stored, nor was its alert.
"""

from collections.abc import Callable, Mapping
from typing import cast

import msgspec

from littoral.core.errors import InvalidResource, StorageCorrupt
from littoral.core.intake import Fold
from littoral.core.limits import EVENT_AHEAD_MS, RULE_KEYS, RULE_OUTPUTS, RULE_WINDOWS, Limits
from littoral.core.resources.rule import Rule, RuleSpec
from littoral.core.resources.units import parse_duration_ms
from littoral.iot.rules.decode import (
    FlatReading,
    Payload,
    Reading,
    ReadingDecoder,
    Unreadable,
)
from littoral.iot.rules.flat_fold import flat_fold
from littoral.iot.rules.output import READING, Alert, Output, Reason, WindowResult, output_id
from littoral.iot.rules.state import KeyState
from littoral.iot.rules.window import Window, open_windows_most
from littoral.store.dead_letters import SHOWN_BYTES, DeadLetter, head_text


class Counters(msgspec.Struct):
    """What a rule has done since it was compiled."""

    readings: int = 0
    """All that came in, whatever became of them."""
    duplicates: int = 0
    late: int = 0
    undecodable: int = 0
    """Malformed or invalid."""
    refused: int = 0
    """Of a key beyond the limit rule-keys; or of QoS 0, while as much waits to be stored as rule-outputs allows."""
    lost: int = 0
    """Stored, but taken by retention before the rule had folded them."""
    windows: int = 0
    alerts: int = 0


class CompiledRule:
    """One rule at one node, with its state in memory."""

    def __init__(self, resource: Rule, node: str, limits: Limits) -> None:
        """Raises InvalidResource for a rule whose parts do not fit together."""
        self.name = resource.metadata.name
        self.node = node
        self.spec = resource.spec
        self.ahead: dict[str, Callable[[], None]] = {}
        """By key, what settles a fold of `intake` that runs ahead; see flat_fold."""
        self.outputs: list[Output] = []
        self.stirred: Callable[[], None] = lambda: None
        """Called when there begins to be something that `take_outputs` or `take_dirty` would return."""
        self._counters = Counters()
        self._limits = limits
        _check(self.name, self.spec, limits)
        self._outputs_most = limits[RULE_OUTPUTS]
        self.ahead_most_ms = limits[EVENT_AHEAD_MS]
        """See flat_fold.Host."""
        self._decoder = ReadingDecoder(self.name, self.spec, self.ahead_most_ms)
        self._states: dict[str, KeyState] = {}
        self._dirty: list[KeyState] = []

    def fold(self, topic: str, payload: Payload, arrived_ms: int, reading_id: str | None) -> None:
        """Take in one reading. Never raises for what a device sent.

        arrived_ms: milliseconds since the epoch, by the broker's clock. reading_id: unique in this node's history,
        and the same if the reading is folded again; None for one that is not stored.
        """
        self._counters.readings += 1
        if reading_id is None and len(self.outputs) >= self._outputs_most:
            self._limits.hit(RULE_OUTPUTS)
            self._counters.refused += 1
            return
        try:
            reading = self._decoder.read(topic, payload, arrived_ms)
        except Unreadable as error:
            self._counters.undecodable += 1
            self._bury(topic, payload, arrived_ms, reading_id, error.reason, error.detail)
            return
        if self.ahead and (settle := self.ahead.pop(reading.key, None)) is not None:
            settle()
        state = self._states.get(reading.key) or self._new_state(reading.key)
        if state is None:
            self._counters.refused += 1
            detail = f"the rule has {len(self._states)} keys; limit rule-keys"
            self._bury(topic, payload, arrived_ms, reading_id, "too-many-keys", detail)
            return
        if state.seen is not None and not state.seen.add(cast("int", reading.sequence)):
            self._counters.duplicates += 1
            return
        self._changed(state)
        if state.windows is not None:
            closed = state.windows.add(reading.ts, reading.value)
            if closed is None:
                self._counters.late += 1
                detail = f"{reading.ts} ms is in a window that was emitted; the latest is {state.windows.watermark} ms"
                self._bury(topic, payload, arrived_ms, reading_id, "late", detail)
                return
            for window in closed:
                self._emit(state.key, window)
        if state.detector is not None:
            self._score(state, reading, reading_id)

    def intake(self, topic: str, wall_ms: Callable[[], int]) -> Fold:
        """The fold for readings of `topic` that are not stored: what `fold` does, for one payload, sooner.

        wall_ms: the clock that says when a reading arrived. The closure stays valid after `restore`.
        """
        if self._decoder.is_flat and self.spec.window is not None and self.spec.detect is None:
            decode = cast("Callable[[bytes], FlatReading]", self._decoder.decode)
            return flat_fold(self, topic, decode, self._decoder.scale, wall_ms)

        def fold(payload: bytes) -> None:
            self.fold(topic, payload, wall_ms(), None)

        return fold

    def state(self, key: str) -> KeyState | None:
        """See flat_fold.Host."""
        return self._states.get(key)

    def note(self, state: KeyState, readings: int) -> None:
        """See flat_fold.Host."""
        self._counters.readings += readings
        self._changed(state)

    @property
    def counters(self) -> Counters:
        """What it has done until now."""
        self._settle()
        return self._counters

    def take_outputs(self) -> list[Output]:
        """What came out since the last call, in order."""
        outputs, self.outputs = self.outputs, []
        return outputs

    @property
    def has_changes(self) -> bool:
        """Whether `take_dirty` would return anything."""
        self._settle()
        return bool(self._dirty)

    def take_dirty(self) -> dict[str, bytes]:
        """The state of every key that changed since the last call."""
        self._settle()
        saved = {state.key: state.save() for state in self._dirty}
        for state in self._dirty:
            state.is_dirty = False
        self._dirty.clear()
        return saved

    def lose(self, readings: int) -> None:
        """That many stored readings are gone before they were folded."""
        self._counters.lost += readings

    def restore(self, saved: Mapping[str, bytes]) -> dict[str, StorageCorrupt]:
        """Go back to what was committed; everything since is forgotten.

        Returns the keys whose state cannot be read, with the reason: those begin anew, and count as changed.
        """
        self._settle()
        self.outputs.clear()
        self._dirty.clear()
        damaged: dict[str, StorageCorrupt] = {}
        # Closures of `intake` hold on to states, so those are emptied in place and not replaced.
        for key, state in self._states.items():
            if key not in saved:
                state.load(None)
        for key, data in saved.items():
            state = self._states.get(key) or self._states.setdefault(key, KeyState(key, self.spec))
            try:
                state.load(data)
            except StorageCorrupt as error:
                state.load(None)
                self._changed(state)
                damaged[key] = error
        return damaged

    def _settle(self) -> None:
        for settle in self.ahead.values():
            settle()
        self.ahead.clear()

    def _changed(self, state: KeyState) -> None:
        if not state.is_dirty:
            state.is_dirty = True
            self._dirty.append(state)
            self.stirred()

    def _new_state(self, key: str) -> KeyState | None:
        if len(self._states) >= self._limits[RULE_KEYS]:
            self._limits.hit(RULE_KEYS)
            return None
        return self._states.setdefault(key, KeyState(key, self.spec))

    def _score(self, state: KeyState, reading: Reading, reading_id: str | None) -> None:
        assert state.detector is not None
        state.ordinal += 1
        anomaly = state.detector.score(reading.value)
        if anomaly is None:
            return
        self._counters.alerts += 1
        if reading.sequence is not None:
            which = ("sequence", str(reading.sequence))
        elif reading_id is not None:
            which = ("reading", reading_id)
        else:
            which = ("ordinal", str(state.ordinal))
        self.outputs.append(
            Alert(
                output_id("alert", self.name, self.node, state.key, *which),
                self.name,
                self.node,
                state.key,
                reading.ts,
                reading.value,
                anomaly.zscore,
                anomaly.mean,
                anomaly.stddev,
                reading.sequence,
            )
        )

    def _emit(self, key: str, window: Window) -> None:
        self._counters.windows += 1
        self.outputs.append(
            WindowResult(
                output_id("window", self.name, self.node, key, window.start, window.end),
                self.name,
                self.node,
                key,
                window.start,
                window.end,
                window.aggregates(self.spec.aggregates),
            )
        )

    def _bury(
        self, topic: str, payload: Payload, arrived_ms: int, reading_id: str | None, reason: Reason, detail: str
    ) -> None:
        if reading_id is None and len(self.outputs) >= self._outputs_most // 2:
            self._limits.hit(RULE_OUTPUTS)
            return
        self.stirred()
        self.outputs.append(
            DeadLetter(
                topic,
                f"rule {self.name}: {reason}: {detail}",
                head_text(bytes(payload[:SHOWN_BYTES])),
                arrived_ms,
                by=f"{READING}/{self.name}",
                size=len(payload),
                place=reading_id or "",
            )
        )


def _check(name: str, spec: RuleSpec, limits: Limits) -> None:
    if spec.window is not None:
        size_ms = parse_duration_ms(spec.window.tumbling)
        if size_ms == 0:
            raise InvalidResource("compile rule", name, "spec.window.tumbling is 0", 'Say for example "1m"')
        most = open_windows_most(size_ms, parse_duration_ms(spec.window.allowed_lateness))
        if most > limits[RULE_WINDOWS]:
            limits.hit(RULE_WINDOWS)
            raise InvalidResource(
                "compile rule",
                name,
                f"spec.window.allowedLateness would keep {most} windows of each key open, the limit rule-windows "
                f"allows {limits[RULE_WINDOWS]}",
                "Make the windows longer, or the allowed lateness shorter",
            )
    if spec.detect is not None and spec.detect.zscore.minimum > spec.detect.zscore.window:
        raise InvalidResource(
            "compile rule",
            name,
            f"spec.detect.zscore.minimum is {spec.detect.zscore.minimum}, but only the "
            f"{spec.detect.zscore.window} preceding readings of spec.detect.zscore.window are kept",
            "Make minimum at most window",
        )
