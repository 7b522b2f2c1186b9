"""How much to ask of a link at once, found by trying: a frame that a slow link cannot carry in time would otherwise be
sent again for ever, and whatever is urgent waits behind what is on its way.

    answered quickly      the next piece may be twice as large, up to the node's limit, and one more may be on its way
    answered in time      as before
    answered late         one less on its way; then half as large, if it is the size that takes the time
    not answered in time  half of it, down to FLOOR_BYTES; at the floor, twice the time: a single batch may be larger

What a small piece takes (the way there and back, and a sync of the parent's disk) is no reason for smaller ones: it is
taken off.
"""

REQUEST_TIMEOUT_S = 15.0
"""What is not answered by then is sent again; the receiver recognises what it has."""
LONGEST_TIMEOUT_S = 600.0
"""At the floor. A link that is dead rather than slow is noticed by the silence of its notification channel."""
FLOOR_BYTES = 16 << 10
TARGET_S = 1.0
"""What is on its way should be there by then: so long an alert waits for telemetry at a link that is full."""
LEAST_DRIFTS = 1.02
"""By how much the least that an answer took grows with each: the way there may become longer."""


class Pace:
    """Of one direction of a link."""

    def __init__(self, most_bytes: int, most_frames: int = 1) -> None:
        """Limits of the node's."""
        self._most_bytes = most_bytes
        self._most_frames = most_frames
        self._least_s = LONGEST_TIMEOUT_S
        """About the least that an answer takes."""
        self.bytes = most_bytes
        """What the next piece may hold, and one batch more."""
        self.frames = 1
        """Pieces that may be on their way at once."""
        self.timeout_s = REQUEST_TIMEOUT_S
        """How long to wait for its answer."""

    def failed(self) -> None:
        """No answer came."""
        self.frames = 1
        floor = min(FLOOR_BYTES, self._most_bytes)
        if self.bytes > floor:
            self.bytes = max(floor, self.bytes // 2)
        else:
            self.timeout_s = min(self.timeout_s * 2, LONGEST_TIMEOUT_S)

    def answered(self, took_s: float) -> None:
        """An answer came, after so long."""
        self.timeout_s = min(max(took_s * 2, REQUEST_TIMEOUT_S), LONGEST_TIMEOUT_S)
        self._least_s = min(self._least_s * LEAST_DRIFTS, took_s)
        carrying_s = took_s - self._least_s
        if carrying_s * 2 <= TARGET_S and took_s * 4 < REQUEST_TIMEOUT_S:
            self.bytes = min(self.bytes * 2, self._most_bytes)
        elif carrying_s > TARGET_S * 2 and self.frames == 1:
            self.bytes = max(min(FLOOR_BYTES, self._most_bytes), self.bytes // 2)
        if took_s * 2 <= TARGET_S:
            self.frames = min(self.frames + 1, self._most_frames)
        elif took_s > TARGET_S:
            self.frames = max(1, self.frames - 1)
