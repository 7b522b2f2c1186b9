"""What apps are told of clients: each of its own, whatever is remembered of others."""

from typing import Any

from littoral.gateway import app_fields as module
from littoral.gateway.app_fields import HeaderList, app_fields
from littoral.wire.told_fields import ToldFields
from littoral.wire.trace_context import trace_of
from tests.support.exchanges import MemoryExchange

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def told(country_header: str = "", **said: Any) -> HeaderList:
    fields = app_fields(MemoryExchange(**said), "edge.test", country_header, "g-1")
    return fields.of("g-1") if isinstance(fields, ToldFields) else fields


def test_clients_are_not_mistaken_for_each_other() -> None:
    fields = [("cf-ipcountry", "ch")]
    for tls, client in (("", "192.0.2.1"), ("TLSv1.3 X", "192.0.2.1"), ("TLSv1.3 X", "192.0.2.2"), ("", "192.0.2.1")):
        said = dict(told(fields=fields, tls=tls, client=client))
        assert (said.get("littoral-tls", ""), said["x-forwarded-for"]) == (tls, client)
        assert "littoral-country" not in said
        assert dict(told("cf-ipcountry", fields=fields, tls=tls, client=client))["littoral-country"] == "CH"


def test_who_asks_within_a_trace_is_told_as_that() -> None:
    said = told(fields=[("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"), ("tracestate", "a=b")])
    assert said[-3:-1] == [
        ("x-request-id", "g-1"),
        ("traceparent", f"00-{TRACE}-{trace_of(None, 'g-1').span_id}-01"),
    ]
    assert said[-1] == ("tracestate", "a=b")


def test_no_secret_is_remembered() -> None:
    assert ("cookie", "s3cret") in told(fields=[("cookie", "s3cret")])
    told(fields=[("accept", "remembered")])
    assert not [key for key in module._told if "s3cret" in repr(key)]
    assert [key for key in module._told if "remembered" in repr(key)]
