"""What one request tells of itself: which steps it took, when each began and how long it took.

Taken only where somebody wants them: a route has an access log or Server-Timing, or an operator traces a request. Whoever does
something that takes time writes it down, if there is anything to write in:

    with step(exchange.notes, "connect", "http://10.0.0.1:80"):
        ...

An error that ends a step is its cause of failure. Steps that begin while another goes on lie below it.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from littoral.gateway.field_block import Fields

ORIGIN, PARENT, APP = "origin", "parent", "app"
"""Names of steps in which somebody else is asked, named in `detail`: a target of an origin (once for each try), the parent node, an
app."""
BODY = "body"
"""Of the one in which the answer's body goes to the client."""
STEPS_MOST = 256
"""Of one request. More than there are tries, waits and connections; what comes then is not written down."""


class Step:
    """Something that took time. Ends with the `with` block that it is used in."""

    __slots__ = ("_notes", "began_ms", "depth", "detail", "failure", "fields", "length_ms", "name", "status")

    def __init__(self, notes: "Notes", name: str, detail: str) -> None:
        self._notes = notes
        self.name = name
        self.detail = detail
        self.began_ms = 0.0
        """Since the request came."""
        self.length_ms: float | None = None
        """None while it goes on."""
        self.depth = 0
        """How many others go on around it."""
        self.status = 0
        """What was answered, if anything was asked."""
        self.fields: Fields = ()
        """... and its header fields."""
        self.failure = ""

    def answered(self, status: int, fields: Fields) -> None:
        """Somebody else has answered."""
        self.status = status
        self.fields = fields

    def __enter__(self) -> Self:
        self._notes.began(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.failure = str(error) or "given up"
        self._notes.ended(self)


class Notes:
    """Of one request."""

    __slots__ = (
        "_now_s",
        "_open",
        "aborted",
        "began_s",
        "extra",
        "failure",
        "fields",
        "first_ms",
        "is_operators",
        "request_id",
        "route",
        "shows_timing",
        "status",
        "steps",
    )

    def __init__(
        self, now_s: Callable[[], float], began_s: float, *, shows_timing: bool = False, is_operators: bool = False
    ) -> None:
        """now_s: the monotonic clock; began_s: what it said when the request came. shows_timing: whether the client is told, by Server-Timing. is_operators: whether it is
        an operator who asks."""
        self._now_s = now_s
        self.began_s = began_s
        self.shows_timing = shows_timing
        self.is_operators = is_operators
        """Then what it demands of the cache is done, whatever the route says of clients."""
        self.request_id = ""
        self.route = ""
        """"app/NAME" or "route/NAME"; empty where there was none."""
        self.steps: list[Step] = []
        """In the order in which they began."""
        self._open = 0
        self.status = 0
        """Of the answer; 0 while there is none."""
        self.fields: Fields = ()
        self.extra: Fields = ()
        """The header fields of the answer are those two, without what whoever writes it adds."""
        self.first_ms: float | None = None
        """When the head of the answer went out."""
        self.aborted = False
        """Whether the answer broke off, so that the client noticed."""
        self.failure = ""
        """Why the answer is an error of the gateway's."""

    def elapsed_ms(self) -> float:
        """Since the request came."""
        return (self._now_s() - self.began_s) * 1000

    def began(self, step: Step) -> None:
        """See Step."""
        step.began_ms, step.depth = self.elapsed_ms(), self._open
        self._open += 1
        if len(self.steps) < STEPS_MOST:
            self.steps.append(step)

    def ended(self, step: Step) -> None:
        """See Step."""
        step.length_ms = self.elapsed_ms() - step.began_ms
        self._open -= 1

    @property
    def origin(self) -> str:
        """Which target was asked last, or the parent node; empty for none."""
        return next((each.detail for each in reversed(self.steps) if each.name in (ORIGIN, PARENT)), "")

    @property
    def tries(self) -> int:
        """How many of these were asked, or one how often."""
        return sum(each.name in (ORIGIN, PARENT) for each in self.steps)

    def asked_ms(self) -> dict[str, float]:
        """How long who was asked took up to the heads of the answers, by the names of steps."""
        asked: dict[str, float] = {}
        for each in self.steps:
            if each.name in (ORIGIN, PARENT, APP):
                asked[each.name] = asked.get(each.name, 0.0) + (each.length_ms or 0.0)
        return asked


class _Nowhere:
    """Steps of which nobody takes notes: one for all."""

    __slots__ = ()

    def answered(self, status: int, fields: Fields) -> None:
        """Nobody hears."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


_NOWHERE = _Nowhere()


def step(notes: Notes | None, name: str, detail: str = "") -> Step | _Nowhere:
    """Write down what is done in the `with` block."""
    return Step(notes, name, detail) if notes is not None else _NOWHERE
