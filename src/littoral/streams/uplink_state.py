"""What an uplink says of itself."""

import msgspec


class UplinkState(msgspec.Struct):
    """At one moment; the counts are since the hub started."""

    connected: bool = False
    since_ms: int = 0
    """When `connected` last changed, ms since the epoch."""
    last_error: str = ""
    sessions: int = 0
    shipped_records: int = 0
    shipped_bytes: int = 0
    """Bytes of frames that the parent has answered."""
    followed_records: int = 0
    bootstraps: int = 0
    """Streams begun from a snapshot."""
    said_again: int = 0
    """Times that key-value writes were appended again because retention had taken them unsent."""
