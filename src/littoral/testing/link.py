"""One node's way to one peer, and what it does to what is sent on it."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

Direction = Literal["requests", "responses", "both"]


class Resettable(Protocol):
    """A connection in progress."""

    def reset(self, cause: str) -> None:
        """Both ends notice at once that it has ended."""
        ...


@dataclass(slots=True)
class Wire:
    """One direction of a link with bounded bandwidth: what is sent on it waits for what was sent before."""

    free_s: float = 0.0
    """When all that was sent so far has left."""

    def send(self, now_s: float, duration_s: float) -> float:
        """When something has left that takes so long."""
        self.free_s = max(now_s, self.free_s) + duration_s
        return self.free_s

    def give_up(self, now_s: float, left_s: float, duration_s: float) -> None:
        """What would have left at `left_s` is not sent any further: the wire is free sooner."""
        self.free_s -= max(0.0, min(duration_s, left_s - now_s))


@dataclass(slots=True)
class Link:
    """The fields may be changed at any time."""

    delay_s: float = 0.0
    """One way."""
    jitter_s: float = 0.0
    """At most this much is added to the delay, drawn anew for each piece."""
    loss: float = 0.0
    """Probability that a request is lost, and the same for its response."""
    reordering: float = 0.0
    """Probability that a request, unless it opens a stream, is held back, so that later ones overtake it."""
    duplication: float = 0.0
    """Probability that a request, unless it opens a stream, reaches the handler once more, as when a proxy tried again;
    the second answer goes nowhere."""
    held_s: float = 1.0
    """At most this long a request is held back, and comes its copy after it."""
    bytes_per_s: float = float("inf")
    """Of each direction, shared by all that is sent."""
    requests_cut: bool = False
    responses_cut: bool = False
    connections: dict[Resettable, None] = field(default_factory=dict)
    """Requests and streams in progress, in the order in which they began."""
    requests: Wire = field(default_factory=Wire)
    responses: Wire = field(default_factory=Wire)

    def cut(self, direction: Direction = "both", *, reset: bool = False) -> None:
        """Lose everything in that direction, in silence: connections are half open until a timeout notices.

        `reset` also ends what is in progress at once, as a router that sends RST does.
        """
        self.requests_cut |= direction != "responses"
        self.responses_cut |= direction != "requests"
        if reset:
            for connection in list(self.connections):
                connection.reset("connection reset")

    def restore(self) -> None:
        """Let everything through that is sent from now on."""
        self.requests_cut = self.responses_cut = False
