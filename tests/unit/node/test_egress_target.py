import pytest

from littoral.core.errors import InvalidInput
from littoral.functions.egress_messages import Ask
from littoral.node.egress_target import fields_of, location_of, read_target

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TARGET = read_target("https://api.example/", "")


def fields(*headers, **more):
    return fields_of(Ask("https://api.example/", "GET", list(headers), request_id="r-1", **more), TARGET)


def trace(*headers, **more):
    return next(value for name, value in fields(*headers, **more) if name == "traceparent")


@pytest.mark.parametrize(
    ("url", "base", "host", "port", "authority", "path"),
    [
        ("HTTPS://API.Example:443/a?b#c", "", "api.example", 443, "api.example", "/a?b"),
        ("http://a.example:8080", "", "a.example", 8080, "a.example:8080", "/"),
        ("http://[::1]:80/", "", "::1", 80, "[::1]", "/"),
        ("http://b\u00fccher.example/", "", "xn--bcher-kva.example", 80, "xn--bcher-kva.example", "/"),
        ("http://%31%32%37.0.0.1/", "", "127.0.0.1", 80, "127.0.0.1", "/"),
        ("../x y", "http://a.example/b/c/d", "a.example", 80, "a.example", "/b/x%20y"),
        ("//other.example/x", "https://a.example/", "other.example", 443, "other.example", "/x"),
    ],
)
def test_urls(url, base, host, port, authority, path):
    target = read_target(url, base)
    assert (target.host, target.port, target.authority, target.path) == (host, port, authority, path)


def test_locations():
    assert location_of("/b", TARGET) == "https://api.example/b"
    assert location_of("http://[", TARGET) == ""


@pytest.mark.parametrize(
    ("name", "value"), [("x y", "1"), ("x:", "1"), ("", "1"), ("x", "a\r\nb: c"), ("x", "\0"), ("x", "\u0142")]
)
def test_what_is_no_field(name, value):
    with pytest.raises(InvalidInput, match="a character that none may hold"):
        fields((name, value))


@pytest.mark.parametrize("method", ["CONNECT", "trace", "TRACK", "GET /", ""])
def test_what_is_no_method(method):
    with pytest.raises(InvalidInput, match="no method"):
        fields_of(Ask("https://api.example/", method, []), TARGET)


def test_a_request_is_in_the_trace_of_the_one_it_is_made_for():
    first, second = trace(traceparent=TRACE), trace(traceparent=TRACE, number=2)
    assert first.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert first.endswith("-01")
    assert len({first.split("-")[2], second.split("-")[2], TRACE.split("-")[2]}) == 3
    assert ("tracestate", "a=1") in fields(traceparent=TRACE, tracestate="a=1")


def test_what_a_function_sets_itself_is_kept():
    other = TRACE.replace("4bf9", "ffff")
    assert trace(("traceparent", other), traceparent=TRACE) == other
    # What it has only passed on is not its own.
    assert trace(("Traceparent", TRACE), traceparent=TRACE).split("-")[2] != TRACE.split("-")[2]


def test_without_a_trace_all_requests_for_one_are_in_the_same():
    first, second = trace(), trace(number=2)
    assert first.split("-")[1] == second.split("-")[1]
    assert first.split("-")[2] != second.split("-")[2]


def test_a_circle_ends():
    assert ("cdn-loop", "littoral") in fields(("cdn-loop", "forged"), cdn_loop="littoral")
    with pytest.raises(InvalidInput, match="goes in a circle"):
        fields(cdn_loop=", ".join(["littoral"] * 8))
