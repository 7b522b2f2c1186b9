"""A request that an operator has a gateway make of itself, to see what becomes of it. Its body is thrown away."""

import asyncio
from collections.abc import Iterator, Sequence

from msgspec import Struct

from littoral.core.clock import Clock
from littoral.gateway.exchange import Exchange, Later, Serve
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.nobody import Nobody
from littoral.gateway.noted import Noted, cache_decision
from littoral.gateway.notes import Notes, Step
from littoral.wire.caching.fields import combined
from littoral.wire.server_timing import NAME, read_server_timing

TRACE_S = 20.0
"""For so long a traced request may take; what it has done by then is shown."""
TEXT_CHARACTERS = 500
"""Of what a step says of itself."""
CLIENT = "127.0.0.1"
"""Who seems to ask."""


class TraceAsk(Struct, array_like=True, frozen=True):
    """What to ask for."""

    method: str
    scheme: str
    host: str
    target: str
    fields: list[tuple[str, str]]
    """Names in lower case."""
    refresh: bool = False
    """As if it were not stored."""


class TraceStep(Struct, frozen=True, omit_defaults=True):
    """Something that took time, for people."""

    name: str
    detail: str
    depth: int
    """How many of those before it go on around it."""
    began_ms: float | None
    """Since the request came; None where somebody else says how long it took, and not when."""
    length_ms: float | None
    """None where nobody says."""
    status: int = 0
    """What was answered, if anything was asked."""
    failure: str = ""


class TraceReport(Struct, frozen=True):
    """What became of a request."""

    gateway: int
    """Which of the node's."""
    request_id: str
    route: str
    """Empty where there was none."""
    status: int
    """0: none within TRACE_S."""
    bytes: int
    """Of the body."""
    duration_ms: float
    first_ms: float | None
    """When the head of the answer came."""
    cache: str
    """What the cache did, in a word; empty where none was asked."""
    cache_status: str
    """The field Cache-Status, where each cache on the way says so."""
    origin: str
    """The target that was asked last; empty for none."""
    tries: int
    failure: str
    """Why the answer is an error of the gateway's, or is not whole."""
    steps: list[TraceStep]


class _Asked(Nobody):
    """What an operator asks: what is answered is counted, and notes are taken of it elsewhere."""

    def __init__(self, ask: TraceAsk) -> None:
        super().__init__(
            method=ask.method,
            target=ask.target,
            host=ask.host,
            scheme=ask.scheme,
            version="1.1",
            client=CLIENT,
            fields=[("host", ask.host), *ask.fields],
        )

    def respond(self, status: int, block: FieldBlock, extra: Fields, body: bytes) -> None:
        """The body is thrown away."""
        self.sent_bytes = len(body) if self.method != "HEAD" else 0

    async def send(self, piece: bytes | memoryview) -> None:
        """It is thrown away."""
        self.sent_bytes += len(piece)


class Tracer:
    """Makes requests of one gateway process."""

    def __init__(self, serve: Serve, clock: Clock, index: int) -> None:
        """index: which of the node's gateways this is."""
        self._serve = serve
        self._clock = clock
        self._index = index

    async def trace(self, ask: TraceAsk) -> TraceReport:
        """Make a request, and say what became of it."""
        began_s = self._clock.monotonic_s()
        notes = Notes(self._clock.monotonic_s, began_s, is_operators=ask.refresh)
        exchange = Noted(_Asked(ask), notes)
        try:
            async with asyncio.timeout(TRACE_S):
                later = self._serve(exchange)
                if later is not None:
                    assert not isinstance(later, Later), "notes are taken of it"
                    await later
        except TimeoutError:
            notes.failure = f"it was not whole after {TRACE_S:g} s, and was given up"
        return self._report(exchange, notes)

    def _report(self, exchange: Exchange, notes: Notes) -> TraceReport:
        said = combined((*notes.fields, *notes.extra), "cache-status")
        return TraceReport(
            gateway=self._index,
            request_id=notes.request_id,
            route=notes.route,
            status=notes.status,
            bytes=exchange.sent_bytes,
            duration_ms=notes.elapsed_ms(),
            first_ms=notes.first_ms,
            cache=cache_decision(notes),
            cache_status=(said or "")[:TEXT_CHARACTERS],
            origin=notes.origin,
            tries=notes.tries,
            failure=(notes.failure or ("the answer broke off" if notes.aborted else ""))[:TEXT_CHARACTERS],
            steps=list(_shown(notes.steps)),
        )


def _shown(steps: Sequence[Step]) -> Iterator[TraceStep]:
    """The steps; behind what lies below one, what whoever was asked says of its own."""
    around: list[Step] = []
    for each in (*steps, None):
        while around and (each is None or each.depth <= around[-1].depth):
            yield from _told(around.pop())
        if each is not None:
            around.append(each)
            yield _step(each)


def _step(step: Step) -> TraceStep:
    return TraceStep(
        step.name,
        step.detail[:TEXT_CHARACTERS],
        step.depth,
        step.began_ms,
        step.length_ms,
        step.status,
        step.failure[:TEXT_CHARACTERS],
    )


def _told(step: Step) -> Iterator[TraceStep]:
    for metric in read_server_timing(combined(step.fields, NAME) or ""):
        name, detail = metric.name[:TEXT_CHARACTERS], metric.description[:TEXT_CHARACTERS]
        yield TraceStep(name, detail, step.depth + 1, None, metric.duration_ms)
