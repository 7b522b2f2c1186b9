"""What the dashboard reads out of records: of windows and alerts, only what it draws. Other JSON is none of them."""

import msgspec

from littoral.core.undecodable import UNDECODABLE


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A closed window of a rule."""

    rule: str
    node: str
    key: str
    start: int
    """Milliseconds since the epoch, of event time."""
    end: int
    count: float | None = None
    mean: float | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An anomaly."""

    id: str
    rule: str
    node: str
    key: str
    ts: int
    """Milliseconds since the epoch, of event time."""
    value: float
    zscore: float | None = None


_window = msgspec.json.Decoder(Window)
_alert = msgspec.json.Decoder(Alert)


def decode_window(record: msgspec.Raw) -> Window | None:
    """The window, or None where the record is something else."""
    try:
        return _window.decode(record)
    except UNDECODABLE:
        return None


def decode_alert(record: msgspec.Raw) -> Alert | None:
    """The alert, or None where the record is something else."""
    try:
        return _alert.decode(record)
    except UNDECODABLE:
        return None
