"""Lines of the access log."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.resources.access_log import DEFAULT_FIELDS, FIELDS
from littoral.gateway.access_log import READERS, VALUE_CHARACTERS, LogRule, dropped_line
from littoral.gateway.field_block import FieldBlock
from littoral.gateway.noted import Noted
from littoral.gateway.notes import ORIGIN, Notes, step
from littoral.wire.trace_context import is_sampled, trace_of
from tests.support.exchanges import MemoryExchange
from tests.support.fakes import FakeClock

ASKS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


class Lines:
    """Implements `littoral.gateway.access_log.Sink`."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def put(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        self.lines.append(line)


def logged(
    client: MemoryExchange, fields: tuple[str, ...] = FIELDS, *, status: int = 200, share: float = 1.0
) -> list[dict[str, Any]]:
    clock, lines = FakeClock(), Lines()
    notes = Notes(clock.monotonic_s, clock.monotonic_s())
    notes.request_id, notes.route = "g-1", "route/shop"
    exchange = Noted(client, notes)
    with step(notes, ORIGIN, "http://10.0.0.1:80"):
        clock.advance(seconds=0.25)
    status_line = [("cache-status", "littoral; fwd=uri-miss; stored")]
    exchange.respond(status, FieldBlock([("x-shop", "yes"), ("set-cookie", "a=1")]), status_line, b"hello")
    LogRule(share, fields, lines, clock).take(exchange, notes, status, 0.25)
    assert all(line.count(b"\n") == 1 for line in lines.lines)
    return [json.loads(line) for line in lines.lines]


def test_every_field_that_a_document_may_name_is_written() -> None:
    assert READERS.keys() == set(FIELDS)
    assert set(DEFAULT_FIELDS) < set(FIELDS)
    asked = MemoryExchange("GET", "/a%20b?x=1", [("user-agent", "curl"), ("referer", "http://r/")], client="192.0.2.7")
    assert logged(asked) == [
        {
            "time": "2023-11-14T22:13:20.000Z",
            "request_id": "g-1",
            "trace_id": trace_of(None, "g-1").trace_id,
            "span_id": trace_of(None, "g-1").span_id,
            "client": "192.0.2.7",
            "method": "GET",
            "scheme": "http",
            "host": "edge.test",
            "path": "/a%20b",
            "query": "x=1",
            "version": "1.1",
            "status": 200,
            "bytes": 5,
            "duration_ms": 250.0,
            "complete": True,
            "route": "route/shop",
            "cache": "uri-miss",
            "origin": "http://10.0.0.1:80",
            "tries": 1,
            "failure": None,
            "user_agent": "curl",
            "referer": "http://r/",
        }
    ]


def test_header_fields_are_written_that_were_chosen() -> None:
    asked = MemoryExchange(fields=[("x-a", "1"), ("x-a", "2")])
    assert logged(asked, ("request.X-A", "request.x-b", "response.x-shop", "response.cache-status")) == [
        {
            "request.X-A": "1, 2",
            "request.x-b": None,
            "response.x-shop": "yes",
            "response.cache-status": "littoral; fwd=uri-miss; stored",
        }
    ]


@pytest.mark.parametrize("name", ["request.authorization", "request.Cookie", "response.set-cookie"])
def test_a_secret_is_not_even_by_mistake(name: str) -> None:
    with pytest.raises(AssertionError):
        LogRule(1.0, [name], Lines(), FakeClock())


@given(st.text(st.characters(max_codepoint=255)))
def test_no_client_writes_a_line_of_its_own(text: str) -> None:
    asked = MemoryExchange(target="/" + text, fields=[("user-agent", text)])
    (line,) = logged(asked, ("path", "user_agent", "status"))
    assert (line["user_agent"], line["status"]) == (text, 200)


def test_long_values_are_cut() -> None:
    (line,) = logged(MemoryExchange(target="/" + "a" * 10_000, fields=[("user-agent", "b" * 10_000)]))
    assert (len(line["path"]), len(line["user_agent"])) == (VALUE_CHARACTERS, VALUE_CHARACTERS)


def test_a_trace_is_in_the_logs_of_all_or_of_none() -> None:
    share = 0.5
    for number in range(200):
        trace_id = trace_of(None, f"t-{number}").trace_id
        asked = MemoryExchange(fields=[("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01")])
        found = [line["trace_id"] for line in logged(asked, share=share)]
        assert found == ([trace_id] if is_sampled(trace_id, share) else [])


@pytest.mark.parametrize(("status", "lines"), [(200, 0), (404, 0), (499, 0), (500, 1), (503, 1)])
def test_what_failed_is_written_whatever_the_sample(status: int, lines: int) -> None:
    assert len(logged(MemoryExchange(), status=status, share=0.0)) == lines


def test_what_did_not_come_whole_is_known_by_it() -> None:
    for aborts in (False, True):
        clock, lines = FakeClock(), Lines()
        notes = Notes(clock.monotonic_s, 0.0)
        exchange = Noted(MemoryExchange(), notes)
        if aborts:
            exchange.abort()
        LogRule(1.0, ["complete"], lines, clock).take(exchange, notes, 499, 0.1)
        assert json.loads(lines.lines[0]) == {"complete": False}


def test_lines_that_are_missing_are_counted_in_their_place() -> None:
    assert json.loads(dropped_line(3, 1_700_000_000_123)) == {"time": "2023-11-14T22:13:20.123Z", "dropped": 3}
