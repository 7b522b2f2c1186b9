"""What a rule remembers of one key, in memory and at rest.

The format at rest is a msgpack array: ordinal, windows, detector, numbers seen; each of the last three may be nil.
"""

import msgspec

from littoral.core.errors import StorageCorrupt
from littoral.core.resources.rule import RuleSpec
from littoral.core.resources.units import parse_duration_ms
from littoral.iot.rules.sequence import SeenNumbers, SeenState
from littoral.iot.rules.window import KeyWindows, WindowsState
from littoral.iot.rules.zscore import RollingZScore, ZScoreState


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    ordinal: int
    windows: WindowsState | None
    detector: ZScoreState | None
    seen: SeenState | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Saved).decode


class KeyState:
    """One key of a rule. Parts the rule does not ask for are None."""

    __slots__ = ("detector", "is_dirty", "key", "ordinal", "seen", "windows")

    def __init__(self, key: str, spec: RuleSpec) -> None:
        self.key = key
        self.is_dirty = False
        """It changed since it was last saved."""
        self.ordinal = 0
        """How many readings were scored: names the reading of an alert where nothing else does."""
        self.windows: KeyWindows | None = None
        if spec.window is not None:
            self.windows = KeyWindows(
                parse_duration_ms(spec.window.tumbling), parse_duration_ms(spec.window.allowed_lateness)
            )
        self.detector = RollingZScore(spec.detect.zscore) if spec.detect is not None else None
        self.seen = SeenNumbers() if spec.sequence is not None else None

    def save(self) -> bytes:
        """All of it; `load` goes on exactly from here."""
        return _encode(
            _Saved(
                self.ordinal,
                self.windows.save() if self.windows is not None else None,
                self.detector.save() if self.detector is not None else None,
                self.seen.save() if self.seen is not None else None,
            )
        )

    def load(self, data: bytes | None) -> None:
        """Become what was saved; None for what a new key has. Raises StorageCorrupt."""
        try:
            saved = _decode(data) if data is not None else _Saved(0, None, None, None)
        except msgspec.DecodeError as error:
            raise StorageCorrupt("restore rule state of", repr(self.key[:80]), str(error)) from error
        self.is_dirty = False
        self.ordinal = saved.ordinal
        if self.windows is not None:
            self.windows.load(saved.windows)
        if self.detector is not None:
            self.detector.load(saved.detector)
        if self.seen is not None:
            self.seen.load(saved.seen)
