"""The fold of one topic for what most rules are asked most often: a reading of the window that the last one was in.

Rules:

- It runs ahead: it keeps that window's sums in its own variables, and the rule's state is behind until `settle`. The
  rule settles whatever runs ahead before it looks at its state: when it folds a reading of the same key by the usual
  way, commits, restores, or counts.
- It takes only what surely goes into the window, closes nothing and is no error. Everything else it hands to the
  rule, and goes on from what the rule made of it.
- It does the arithmetic of `Window.add`, in the same order, so the results are the same to the last bit.
- Times are compared in the payload's unit, so that no time is converted for a reading. That is the same because
  converting keeps order: what is not below a bound in the payload's unit is not below it in milliseconds.
"""

import math
from collections.abc import Callable
from typing import Protocol

from littoral.core.intake import Fold
from littoral.core.undecodable import UNDECODABLE
from littoral.iot.rules.decode import VALUE_MOST, FlatReading
from littoral.iot.rules.state import KeyState
from littoral.iot.rules.window import KeyWindows

_SURELY_EARLIER_MS = 2
"""Readings this far apart are not of the same millisecond, however both are rounded."""
_NO_WINDOWS = KeyWindows(1, 0)
"""Stands where a key's will be once it has had a reading."""


class Host(Protocol):
    """The rule behind a flat fold."""

    ahead: dict[str, Callable[[], None]]
    """By key, what settles a fold that runs ahead."""
    ahead_most_ms: int
    """How far a reading's time may be ahead of its arrival."""
    stirred: Callable[[], None]
    """Call it when a fold begins to run ahead."""

    def fold(self, topic: str, payload: bytes, arrived_ms: int, reading_id: str | None) -> None:
        """Take in a reading by the usual way."""
        ...

    def state(self, key: str) -> KeyState | None:
        """What the rule remembers of `key`."""
        ...

    def note(self, state: KeyState, readings: int) -> None:
        """That many readings have changed `state`."""
        ...


def flat_fold(  # noqa: C901 - four short functions over the same variables
    rule: Host, topic: str, decode: Callable[[bytes], FlatReading], scale: int, wall_ms: Callable[[], int]
) -> Fold:
    """A fold for readings whose key is `topic`; a timestamp times `scale` is in milliseconds, as is `wall_ms`."""
    state: KeyState | None = None
    windows, window = _NO_WINDOWS, _NO_WINDOWS.current
    count, mean, m2, low, high, last = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    # Times in [oldest, until] are of the window and not before its first reading; nothing is while it is settled.
    oldest, until, latest = math.inf, -math.inf, 0.0
    least, most, surely_earlier = -VALUE_MOST, VALUE_MOST, _SURELY_EARLIER_MS / scale

    def fold(payload: bytes) -> None:
        nonlocal count, high, last, latest, low, m2, mean
        try:
            reading = decode(payload)
        except UNDECODABLE:
            by_the_rule(payload)
            return
        timestamp, value = reading.timestamp, reading.value
        if not (oldest <= timestamp <= until and least <= value <= most):
            by_the_rule(payload)
            return
        if timestamp >= latest:
            latest, last = timestamp, value
        elif timestamp > latest - surely_earlier:
            by_the_rule(payload)
            return
        count += 1
        delta = value - mean
        mean += delta / count
        m2 += delta * (value - mean)
        if value < low:
            low = value
        elif value > high:
            high = value

    def by_the_rule(payload: bytes) -> None:
        nonlocal state
        settle()
        rule.fold(topic, payload, wall_ms(), None)
        state = rule.state(topic)
        if state is not None and state.windows is not None and state.windows.current.count:
            go_ahead(state.windows)

    def go_ahead(those: KeyWindows) -> None:
        nonlocal count, high, last, latest, low, m2, mean, oldest, until, window, windows
        if (other := rule.ahead.pop(topic, None)) is not None:
            other()
        windows, window = those, those.current
        count, mean, m2, low, high, last = window.count, window.mean, window.m2, window.min, window.max, window.last
        # Our clock goes on, so what is not too far ahead of it now is not when it arrives.
        until_ms = min(windows.fast_until - 1, wall_ms() + rule.ahead_most_ms)
        oldest, latest, until = window.first_ts / scale, window.last_ts / scale, until_ms / scale
        rule.ahead[topic] = settle
        rule.stirred()

    def settle() -> None:
        nonlocal oldest
        if oldest == math.inf:
            return
        oldest = math.inf
        taken = count - window.count
        if taken:
            assert state is not None
            window.count, window.mean, window.m2, window.min, window.max = count, mean, m2, low, high
            window.last, window.last_ts = last, round(latest * scale)
            windows.watermark = max(windows.watermark, window.last_ts)
            rule.note(state, taken)

    return fold
