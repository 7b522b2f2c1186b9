"""The access log: a line of JSON for a request, with the fields that a route's rule names.

Written is what belongs to the sample, and whatever was answered with a status of 500 or above. The sample goes by the trace that
a request belongs to, so that all nodes on its way have it, or none. What comes from clients is encoded as JSON text, in which
line breaks and control characters are escaped: no client can write a line of its own.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

import msgspec

from littoral.core.clock import Clock
from littoral.core.resources.access_log import REQUEST, RESPONSE, SECRET
from littoral.gateway.exchange import Exchange
from littoral.gateway.noted import cache_decision
from littoral.gateway.notes import Notes
from littoral.wire.caching.fields import combined
from littoral.wire.trace_context import TRACEPARENT, TraceContext, is_sampled, read_traceparent, trace_of

ALWAYS_STATUS = 500
"""From here on an answer is written down whatever the sample says."""
VALUE_CHARACTERS = 2048
"""Of one field; the rest is cut off. A request's head may be thirty times as long."""

Value = str | int | float | bool | None
"""None for what there is not: no cache was asked, a header field was not sent."""


class Sink(Protocol):
    """Takes lines (littoral.drivers.access_log_file)."""

    def put(self, line: bytes) -> None:
        """Have it written; returns at once. line: with its end."""
        ...


class Logged:
    """A request that has ended, as the log reads it."""

    def __init__(self, exchange: Exchange, notes: Notes, status: int, seconds: float, ended_ms: int) -> None:
        """status: as it is counted. seconds: how long it took. ended_ms: when it ended, since the epoch."""
        self.exchange = exchange
        self.notes = notes
        self.status = status
        self.duration_ms = round(seconds * 1000, 3)
        self._ended_ms = ended_ms
        self._trace: TraceContext | None = None

    @property
    def trace(self) -> TraceContext:
        """The one that whoever was asked for its sake was told of, too."""
        if self._trace is None:
            said = combined(self.exchange.fields, TRACEPARENT)
            self._trace = trace_of(read_traceparent(said) if said is not None else None, self.notes.request_id)
        return self._trace

    @property
    def time(self) -> str:
        """When it came: RFC 3339, UTC."""
        return _moment(self._ended_ms - self.duration_ms)

    def sent(self, name: str) -> Value:
        """A header field of the request."""
        return _cut(combined(self.exchange.fields, name))

    def answered(self, name: str) -> Value:
        """A header field of the response."""
        return _cut(combined((*self.notes.fields, *self.notes.extra), name))


def _moment(at_ms: float) -> str:
    second, millisecond = divmod(int(at_ms), 1000)
    return f"{_second(second)}.{millisecond:03d}Z"


@lru_cache(maxsize=2)
def _second(at_s: int) -> str:
    """Most requests of a second come one after the other."""
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _cut(value: str | None) -> Value:
    return value if value is None else value[:VALUE_CHARACTERS]


READERS: dict[str, Callable[[Logged], Value]] = {
    "time": lambda logged: logged.time,
    "request_id": lambda logged: logged.notes.request_id,
    "trace_id": lambda logged: logged.trace.trace_id,
    "span_id": lambda logged: logged.trace.span_id,
    "client": lambda logged: logged.exchange.client,
    "method": lambda logged: _cut(logged.exchange.method),
    "scheme": lambda logged: logged.exchange.scheme,
    "host": lambda logged: _cut(logged.exchange.host),
    "path": lambda logged: _cut(logged.exchange.target.partition("?")[0]),
    "query": lambda logged: _cut(logged.exchange.target.partition("?")[2]) or None,
    "version": lambda logged: logged.exchange.version,
    "status": lambda logged: logged.status,
    "bytes": lambda logged: logged.exchange.sent_bytes,
    "duration_ms": lambda logged: logged.duration_ms,
    "complete": lambda logged: logged.notes.status == logged.status and not logged.notes.aborted,
    "route": lambda logged: logged.notes.route or None,
    "cache": lambda logged: cache_decision(logged.notes) or None,
    "origin": lambda logged: logged.notes.origin or None,
    "tries": lambda logged: logged.notes.tries,
    "failure": lambda logged: _cut(logged.notes.failure) or None,
    "user_agent": lambda logged: logged.sent("user-agent"),
    "referer": lambda logged: logged.sent("referer"),
}
"""By the fields of core.resources.access_log."""


class LogRule:
    """What is written of the requests of one route."""

    def __init__(self, share: float, fields: Iterable[str], sink: Sink, clock: Clock) -> None:
        """share: of the sample, of all requests. fields: of FIELDS, and names of header fields."""
        self._share = share
        self._readers = [(name, _reader(name)) for name in fields]
        self._sink = sink
        self._clock = clock

    def take(self, exchange: Exchange, notes: Notes, status: int, seconds: float) -> None:
        """A request has ended."""
        logged = Logged(exchange, notes, status, seconds, self._clock.wall_ms())
        if status >= ALWAYS_STATUS or self._share >= 1 or is_sampled(logged.trace.trace_id, self._share):
            self._sink.put(msgspec.json.encode({name: read(logged) for name, read in self._readers}) + b"\n")


def _reader(name: str) -> Callable[[Logged], Value]:
    for prefix, read in ((REQUEST, Logged.sent), (RESPONSE, Logged.answered)):
        if name.startswith(prefix):
            header = name.removeprefix(prefix).lower()
            assert header not in SECRET, name
            return lambda logged: read(logged, header)
    return READERS[name]


def dropped_line(count: int, at_ms: int) -> bytes:
    """What stands in place of lines that could not be written."""
    return msgspec.json.encode({"time": _moment(at_ms), "dropped": count}) + b"\n"
