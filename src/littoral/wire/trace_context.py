"""Trace Context (W3C Recommendation, 23 November 2021): which trace a request belongs to.

    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
                 version, trace, who asks, flags

What is no `traceparent` as it is written there counts as none: a new trace begins, and `tracestate` is left out with it
(sections 3.2 and 3.3).
"""

import re
from hashlib import blake2b
from typing import NamedTuple

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
STATE_CHARACTERS = 512
"""Of `tracestate`: what everybody has to pass on (section 3.3.1.5). What is longer is left out whole."""
STATE_MEMBERS = 32
"""Section 3.3.1.1."""
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_TRACE_DIGITS, _SPAN_DIGITS = 32, 16
_KNOWN_FLAGS = 0b11
"""sampled, and random (level 2). Others are not passed on (section 3.2.2.5)."""
_NEW_FLAGS = 0b01
_NEW_END = f"-{_NEW_FLAGS:02x}"
_SHARE_BITS = 56
"""Of a trace's id, at its end: those that are random, whoever made it (level 2, section 3.2.2.3.1)."""


class TraceContext(NamedTuple):
    """A request, and the trace that it belongs to."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16: what the request is called in it."""
    flags: int = _NEW_FLAGS

    def __str__(self) -> str:
        """What is said to whoever is asked for its sake."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def read_traceparent(value: str) -> TraceContext | None:
    """Who asks, as a client says; None where that is nothing. Versions to come are read as far as this one goes."""
    match = _TRACEPARENT.fullmatch(value)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not (trace_id.strip("0") and span_id.strip("0")):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & _KNOWN_FLAGS)


def trace_of(asks: TraceContext | None, request_id: str) -> TraceContext:
    """A request in the trace of who asks, or else in a new one. It follows from the request's id, which has 40 random bits of
    its process: so nothing is drawn for it, nor remembered until somebody asks for it."""
    digest = _digest(request_id)
    span_id = digest[_TRACE_DIGITS:]
    if asks is not None:
        return TraceContext(asks.trace_id, span_id, asks.flags)
    return TraceContext(digest[:_TRACE_DIGITS], span_id)


def traceparent(asks: TraceContext | None, request_id: str) -> str:
    """What whoever is asked for its sake is told of it: `str(trace_of(asks, request_id))`, in one step."""
    digest = _digest(request_id)
    if asks is not None:
        return str(TraceContext(asks.trace_id, digest[_TRACE_DIGITS:], asks.flags))
    return f"00-{digest[:_TRACE_DIGITS]}-{digest[_TRACE_DIGITS:]}{_NEW_END}"


def _digest(request_id: str) -> str:
    return blake2b(request_id.encode(), digest_size=(_TRACE_DIGITS + _SPAN_DIGITS) // 2).hexdigest()


def passes_on(state: str) -> bool:
    """Whether `tracestate`, which nobody here reads, is within what has to be passed on."""
    return len(state) <= STATE_CHARACTERS and state.count(",") < STATE_MEMBERS


def is_sampled(trace_id: str, share: float) -> bool:
    """Whether a trace is one of so many. Everybody who is asked says the same of the same trace, and who takes a larger share
    takes all of a smaller one."""
    return int(trace_id[-_SHARE_BITS // 4 :], 16) < share * (1 << _SHARE_BITS)
