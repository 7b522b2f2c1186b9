import pytest

from littoral.core.errors import BadGateway
from littoral.gateway import forwarding
from littoral.gateway.forwarding import LOOPS, for_client, for_origin
from littoral.wire.trace_context import read_traceparent, trace_of


def sent(*fields: tuple[str, str], method: str = "GET", client: str = "192.0.2.7") -> list[tuple[str, str]]:
    return for_origin(
        method,
        fields,
        host="shop.internal",
        asked="shop.test",
        scheme="https",
        version="2",
        client=client,
        request_id="r-1",
    )


OURS = [
    ("x-forwarded-for", "192.0.2.7"),
    ("x-forwarded-host", "shop.test"),
    ("x-forwarded-proto", "https"),
    ("forwarded", 'for="192.0.2.7";host="shop.test";proto=https'),
    ("via", "2 littoral"),
    ("cdn-loop", "littoral"),
    ("x-request-id", "r-1"),
    ("traceparent", str(trace_of(None, "r-1"))),
]
ASKS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def test_what_is_said_to_whoever_answers_goes_on_and_what_is_for_the_connection_does_not() -> None:
    fields = [
        ("host", "shop.test"),
        ("accept", "*/*"),
        ("x-private", "1"),
        ("connection", "keep-alive, X-Private"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("content-length", "5"),
        ("expect", "100-continue"),
        ("upgrade", "h2c"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-private", "2"),
    ]
    assert sent(*fields) == [
        ("host", "shop.internal"),
        ("accept", "*/*"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        *OURS,
    ]


def test_what_a_client_says_of_its_way_is_kept_where_it_is_a_list_and_replaced_where_it_is_not() -> None:
    fields = dict(
        sent(
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "evil.test"),
            ("x-forwarded-proto", "http"),
            ("x-request-id", "forged"),
            ("via", "1.1 theirs"),
        )
    )
    assert fields["x-forwarded-for"] == "10.0.0.1, 192.0.2.7"
    assert fields["x-forwarded-host"] == "shop.test"
    assert fields["x-forwarded-proto"] == "https"
    assert fields["x-request-id"] == "r-1"
    assert fields["via"] == "1.1 theirs, 2 littoral"


@pytest.mark.parametrize("named", ["host", "cache-control", "x-forwarded-for"])
def test_connection_cannot_take_what_the_next_one_goes_by(named: str) -> None:
    fields = dict(sent(("cache-control", "no-cache"), ("connection", named)))
    assert fields["host"] == "shop.internal"
    assert fields["cache-control"] == "no-cache"
    assert fields["x-forwarded-for"] == "192.0.2.7"


def test_a_trace_goes_on_with_this_request_in_it() -> None:
    fields = dict(sent(("traceparent", ASKS), ("tracestate", "a=1"), ("tracestate", "b=2")))
    assert fields["traceparent"] == str(trace_of(read_traceparent(ASKS), "r-1"))
    assert fields["traceparent"].startswith(ASKS[:36])
    assert fields["traceparent"][36:52] != ASKS[36:52]
    assert fields["tracestate"] == "a=1, b=2"


@pytest.mark.parametrize("said", ["", "nonsense", ASKS.replace("00f067aa0ba902b7", "0" * 16), f"{ASKS}, {ASKS}"])
def test_what_is_no_trace_begins_another_one_without_its_state(said: str) -> None:
    fields = dict(sent(("traceparent", said), ("tracestate", "a=1")))
    assert fields["traceparent"] == str(trace_of(None, "r-1"))
    assert "tracestate" not in fields
    twice = dict(sent(("traceparent", ASKS), ("traceparent", ASKS), ("tracestate", "a=1")))
    assert "tracestate" not in twice
    assert "tracestate" not in dict(sent(("tracestate", "a=1")))
    assert "tracestate" not in dict(sent(("traceparent", ASKS), ("tracestate", "a" * 513)))


def test_what_goes_in_a_circle_is_ended() -> None:
    assert dict(sent(("cdn-loop", ", ".join(["littoral"] * (LOOPS - 1)))))["cdn-loop"].count("littoral") == LOOPS
    with pytest.raises(BadGateway, match="circle"):
        sent(("cdn-loop", ", ".join(["littoral"] * LOOPS)))


def test_an_answer_keeps_all_but_what_is_for_the_connection() -> None:
    answered = [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("keep-alive", "timeout=5"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("via", "1.1 theirs"),
        ("content-length", "5"),
    ]
    assert for_client(answered, "1.1") == (
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("content-length", "5"),
        ("via", "1.1 theirs, 1.1 littoral"),
    )


@pytest.mark.parametrize(
    "name", ["forwarded", "x-host", "x-original-url", "x-rewrite-url", "x-forwarded-server", "x-forwarded-port"]
)
def test_what_names_another_host_or_path_is_not_for_clients_to_say(name: str) -> None:
    for method in ("GET", "POST"):
        assert "evil" not in str(sent((name, "evil"), method=method))


@pytest.mark.parametrize("name", ["x-http-method", "x-http-method-override", "x-method-override"])
def test_another_method_is_not_for_clients_to_say_where_the_answer_may_be_for_others(name: str) -> None:
    field = (name, "DELETE")
    assert field not in sent(field)
    assert field not in sent(field, method="HEAD")
    assert field in sent(field, method="POST")


def test_an_address_with_colons_is_bracketed() -> None:
    assert ("forwarded", 'for="[2001:db8::1]";host="shop.test";proto=https') in sent(client="2001:db8::1")


def test_what_two_requests_say_alike_is_sent_alike_but_for_what_is_their_own() -> None:
    said = [("accept", "*/*"), ("user-agent", "probe/1")]
    once, again = sent(*said), sent(*said)
    assert once == again
    assert sent(*said, client="192.0.2.8") != once
    assert dict(sent(*said, method="POST"))["user-agent"] == "probe/1"
    assert ("x-method-override", "PUT") in sent(("x-method-override", "PUT"), method="POST")
    assert ("x-method-override", "PUT") not in sent(("x-method-override", "PUT"), method="GET")


@pytest.mark.parametrize("field", [("authorization", "Bearer s3cret"), ("cookie", "id=s3cret"), ("x", "s3cret" * 1000)])
def test_secrets_and_what_is_long_are_not_remembered(field: tuple[str, str]) -> None:
    assert field in sent(field)
    assert "s3cret" not in repr(forwarding._passed_on)
