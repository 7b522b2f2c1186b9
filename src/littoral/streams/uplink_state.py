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
    snapshot_chunks: int = 0
    """Chunks of snapshots taken over."""
    refused_chunks: int = 0
    """Chunks that were not what their digests said, and were asked for again."""
    resumed_snapshots: int = 0
    """Snapshots that went on where an earlier session or start of the node had left them."""
    put_aside_records: int = 0
    """Of this node's own streams, written since its store was restored where the parent had others."""
    fetched_back_records: int = 0
    """Of this node's own streams, which its store lacked and the parent had."""
    said_again: int = 0
    """Times that key-value writes were appended again because retention had taken them unsent."""
