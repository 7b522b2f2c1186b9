"""What an app is told of a request, written once for all that say the same."""

import pytest

from littoral.wire.told_fields import ToldFields, read_told_fields
from littoral.wire.trace_context import trace_of

FIELDS = (("host", "edge.test"), ("accept", "*/*"), ("accept", "x/y"))


def test_the_fields_of_a_request_are_those_of_all_and_what_follows_from_its_id() -> None:
    told = ToldFields(FIELDS)
    for request_id in ("g-1", "g-2"):
        own = [("x-request-id", request_id), ("traceparent", str(trace_of(None, request_id)))]
        assert told.of(request_id) == [*FIELDS, *own]
        assert read_told_fields(told.encoded, request_id, in_new_trace=True) == [*FIELDS, *own]
        assert read_told_fields(told.encoded, request_id, in_new_trace=False) == [*FIELDS]


def test_they_are_written_once() -> None:
    told = ToldFields(FIELDS)
    assert told.encoded is told.encoded
    with pytest.raises(AttributeError):
        told.decoded  # type: ignore[attr-defined]  # noqa: B018
