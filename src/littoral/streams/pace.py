"""How much to ask of a link at once, found by trying: a frame that a slow link cannot carry in time would otherwise be
sent again for ever.

    answered quickly      the next piece may be twice as large, up to the node's limit
    answered in time      as before
    not answered in time  half of it, down to FLOOR_BYTES; at the floor, twice the time: a single batch may be larger
"""

REQUEST_TIMEOUT_S = 15.0
"""What is not answered by then is sent again; the receiver recognises what it has."""
LONGEST_TIMEOUT_S = 600.0
"""At the floor. A link that is dead rather than slow is noticed by the silence of its notification channel."""
FLOOR_BYTES = 16 << 10


class Pace:
    """Of one direction of a link."""

    def __init__(self, most_bytes: int) -> None:
        """most_bytes: a limit of the node's."""
        self._most_bytes = most_bytes
        self.bytes = most_bytes
        """What the next piece may hold, and one batch more."""
        self.timeout_s = REQUEST_TIMEOUT_S
        """How long to wait for its answer."""

    def failed(self) -> None:
        """No answer came."""
        floor = min(FLOOR_BYTES, self._most_bytes)
        if self.bytes > floor:
            self.bytes = max(floor, self.bytes // 2)
        else:
            self.timeout_s = min(self.timeout_s * 2, LONGEST_TIMEOUT_S)

    def answered(self, took_s: float) -> None:
        """An answer came, after so long."""
        self.timeout_s = min(max(took_s * 2, REQUEST_TIMEOUT_S), LONGEST_TIMEOUT_S)
        if took_s * 4 < REQUEST_TIMEOUT_S:
            self.bytes = min(self.bytes * 2, self._most_bytes)
