"""How much to ask of a link at once, found by trying: a frame that a slow link cannot carry in time would otherwise be
sent again for ever, and whatever is urgent waits behind what is on its way.

    nothing known         START_BYTES at once: at the first, and after a rest, in which the link may have changed
    answered              all that is on its way at once may be as much as the link carried in TARGET_S, by this answer;
                          within that, after a full piece, the next may be twice as large, up to the node's limit
    answered quickly      one more may be on its way
    answered late         one less on its way
    not answered in time  half of it, down to FLOOR_BYTES; at the floor, twice the time: a single batch may be larger

What a small piece takes (the way there and back, and a sync of the parent's disk) is no reason for smaller ones: it is
taken off. It is known from small pieces that went alone, and from no others: a large one, or one that waits behind it, takes
as long as the link needs to carry it.
"""

import math
from typing import NamedTuple

from littoral.core.clock import Clock

REQUEST_TIMEOUT_S = 15.0
"""What is not answered by then is sent again; the receiver recognises what it has."""
LONGEST_TIMEOUT_S = 600.0
"""At the floor. A link that is dead rather than slow is noticed by the silence of its notification channel."""
FLOOR_BYTES = 16 << 10
SMALL_BYTES = 4 << 10
"""Pieces up to this take what any piece takes, at links that carry the smallest frame in time."""
START_BYTES = 64 << 10
"""A link of 5 kB/s carries it before the request times out."""
TARGET_S = 1.0
"""What is on its way should be there by then: so long an alert waits for telemetry at a link that is full."""
REST_S = 15.0
"""What was measured longer ago says nothing of the link as it is."""
LEAST_PART = 0.1
"""Weight of a small piece that took longer than others did before: the way there may have become longer."""
LEAST_SHARE = 0.75
"""A large piece that took less of what small ones did is no chance: the way there has become shorter."""


class Sent(NamedTuple):
    """A piece on its way."""

    at_s: float
    alone: bool
    carried_bytes: int
    """Before it was sent."""


class Pace:
    """Of one direction of a link."""

    def __init__(self, clock: Clock, most_bytes: int, most_frames: int = 1) -> None:
        """most_bytes, most_frames: limits of the node's."""
        self._clock = clock
        self._most_bytes = most_bytes
        self._most_frames = most_frames
        self._floor_bytes = min(FLOOR_BYTES, most_bytes)
        self._bytes = most_bytes
        self._frames = 1
        self._open = 0
        """Pieces on their way."""
        self._carried_bytes = 0
        self._least: tuple[float, int] | None = None
        """What a small piece takes, in seconds, and its size."""
        self._measured: tuple[float, float] | None = None
        """When a full piece was answered, and the least rate since, in bytes a second."""
        self.timeout_s = REQUEST_TIMEOUT_S
        """How long to wait for the answer to a piece."""

    @property
    def bytes(self) -> int:
        """What the next piece may hold, and one batch more."""
        return min(self._bytes, self._room_bytes)

    @property
    def frames(self) -> int:
        """Pieces that may be on their way at once."""
        return max(1, min(self._frames, self._room_bytes // self.bytes))

    @property
    def _room_bytes(self) -> int:
        """What may be on its way at once."""
        if self._measured is None:
            return START_BYTES
        measured_s, rate = self._measured
        room = max(self._floor_bytes, int(min(rate * TARGET_S, self._most_bytes * self._most_frames)))
        return room if self._clock.monotonic_s() - measured_s < REST_S else min(room, START_BYTES)

    def sent(self) -> Sent:
        """A piece goes on its way; when it is not any more, for whatever reason, `ended` is to be called."""
        self._open += 1
        return Sent(self._clock.monotonic_s(), self._open == 1, self._carried_bytes)

    def ended(self) -> None:
        """Nobody waits for the answer to a piece any more."""
        self._open -= 1

    def failed(self) -> None:
        """No answer came."""
        self._frames = 1
        if self.bytes > self._floor_bytes:
            self._bytes = max(self._floor_bytes, self.bytes // 2)
        else:
            self.timeout_s = min(self.timeout_s * 2, LONGEST_TIMEOUT_S)

    def answered(self, sent: Sent, size_bytes: int) -> None:
        """An answer came; size_bytes: of the piece and the answer."""
        self._carried_bytes += size_bytes
        took_s = self._clock.monotonic_s() - sent.at_s
        if size_bytes > SMALL_BYTES:
            self.timeout_s = min(max(took_s * 2, REQUEST_TIMEOUT_S), LONGEST_TIMEOUT_S)
            self._measure(took_s, self._carried_bytes - sent.carried_bytes, size_bytes)
        elif sent.alone:
            self._note_least(took_s, size_bytes)
        if took_s * 2 <= TARGET_S:
            self._frames = min(self._frames + 1, self._most_frames)
        elif took_s > TARGET_S:
            self._frames = max(1, self._frames - 1)

    def _note_least(self, took_s: float, size_bytes: int) -> None:
        if self._least is not None and took_s > self._least[0]:
            took_s = self._least[0] + (took_s - self._least[0]) * LEAST_PART
        self._least = (took_s, size_bytes)

    def _measure(self, took_s: float, carried_bytes: int, size_bytes: int) -> None:
        """A piece of that size was answered, and in the meantime so much was carried."""
        if self._least is not None and took_s < self._least[0] * LEAST_SHARE:
            self._least = None
        least_s, least_bytes = self._least or (0.0, 0)
        carrying_s = took_s - least_s
        rate = (carried_bytes - least_bytes) / carrying_s if carrying_s > 0 else math.inf
        allowed = self.bytes
        if size_bytes * 2 >= allowed:
            self._measured = (self._clock.monotonic_s(), rate)
            self._bytes = min(allowed * 2, self._most_bytes, self._room_bytes)
        elif self._measured is not None:
            # That the link would carry more than was asked of it is not known by this.
            self._measured = (self._measured[0], min(self._measured[1], rate))
