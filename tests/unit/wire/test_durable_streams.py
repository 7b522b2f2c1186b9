import pytest

from littoral.core.errors import InvalidInput
from littoral.wire.durable_streams import (
    CURSOR_EPOCH_MS,
    CURSOR_INTERVAL_MS,
    Producer,
    check_content_type,
    entity_tag,
    expiry_ms,
    format_offset,
    is_json,
    is_text,
    is_true,
    next_cursor,
    parse_fork,
    parse_lifetime,
    parse_position,
    parse_producer,
    parse_stream_seq,
    tag_matches,
)


def test_offsets_sort_as_text_and_read_back() -> None:
    offsets = [0, 9, 10, 99, 12_345, 10**15]
    tokens = [format_offset(offset) for offset in offsets]
    assert sorted(tokens) == tokens
    assert [parse_position(token) for token in tokens] == offsets


def test_sentinels_are_no_offsets() -> None:
    assert parse_position(None) == parse_position("-1") == "beginning"
    assert parse_position("now") == "now"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "1",
        "-2",
        "NOW",
        "0" * 16,
        "0" * 16 + "_" + "0" * 15,
        "1" + "0" * 15 + "_" + "0" * 16,
        " " + "0" * 16 + "_" + "0" * 16,
        "0" * 16 + "_" + "0" * 16 + "\n",
        "0" * 16 + "_" + "0" * 15 + "\u0661",
        "a,b",
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput, match="no offset of this server"):
        parse_position(token)


@pytest.mark.parametrize("value", ["", "-1", "+1", "01", "1.0", "1e3", " 1", "9" * 15, "\u0661"])
def test_a_ttl_is_a_plain_whole_number(value: str) -> None:
    with pytest.raises(InvalidInput, match="Stream-TTL"):
        parse_lifetime({"stream-ttl": value})


def test_a_lifetime_is_one_kind_or_the_other() -> None:
    assert parse_lifetime({}) == (None, None)
    assert parse_lifetime({"stream-ttl": "3600"}) == (3600, None)
    assert parse_lifetime({"stream-expires-at": "2030-01-01T00:00:00Z"}) == (None, "2030-01-01T00:00:00Z")
    with pytest.raises(InvalidInput, match="one or the other"):
        parse_lifetime({"stream-ttl": "1", "stream-expires-at": "2030-01-01T00:00:00Z"})


def test_expiry_is_rfc_3339() -> None:
    assert expiry_ms("1970-01-01T01:00:01.5+01:00") == 1500
    assert expiry_ms("1970-01-01t00:00:00z") == 0
    for wrong in ("2030-01-01", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "tomorrow", "2030-W01-1T00:00:00Z"):
        with pytest.raises(InvalidInput, match="RFC 3339"):
            expiry_ms(wrong)


def test_a_producer_is_whole_or_absent() -> None:
    whole = {"producer-id": "p", "producer-epoch": "0", "producer-seq": "9007199254740991"}
    assert parse_producer({}) is None
    assert parse_producer(whole) == Producer("p", 0, 2**53 - 1)
    for name in whole:
        with pytest.raises(InvalidInput, match="go together"):
            parse_producer({key: value for key, value in whole.items() if key != name})
    for name, value in (
        ("producer-id", ""),
        ("producer-id", "p" * 257),
        ("producer-epoch", "-1"),
        ("producer-epoch", "1.5"),
        ("producer-seq", "00"),
        ("producer-seq", "9007199254740992"),
        ("producer-seq", "x"),
    ):
        with pytest.raises(InvalidInput):
            parse_producer({**whole, name: value})


def test_stream_seq_is_bounded() -> None:
    assert parse_stream_seq({"stream-seq": "b"}) == "b"
    for wrong in ("", "x" * 257):
        with pytest.raises(InvalidInput, match="Stream-Seq"):
            parse_stream_seq({"stream-seq": wrong})


def test_a_fork_names_its_source_and_perhaps_a_point() -> None:
    source = {"stream-forked-from": "/v1/stream/a"}
    assert parse_fork({}) is None
    assert parse_fork(source) == ("/v1/stream/a", None, 0)
    assert parse_fork({**source, "stream-fork-offset": format_offset(7)}) == ("/v1/stream/a", 7, 0)
    assert parse_fork({**source, "stream-fork-offset": "-1", "stream-fork-sub-offset": "3"}) == (
        "/v1/stream/a",
        "beginning",
        3,
    )


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"stream-fork-offset": format_offset(1)}, "it says nothing without Stream-Forked-From"),
        ({"stream-fork-sub-offset": "0"}, "it says nothing without Stream-Forked-From"),
        ({"stream-forked-from": "/a", "stream-fork-sub-offset": "1"}, "it counts from a Stream-Fork-Offset"),
        ({"stream-forked-from": "/a", "stream-fork-offset": "x"}, "no offset of this server"),
        ({"stream-forked-from": "/a", "stream-fork-offset": "-1", "stream-fork-sub-offset": "01"}, "whole number"),
        ({"stream-forked-from": "/a", "stream-fork-offset": "-1", "stream-fork-sub-offset": "-1"}, "whole number"),
    ],
)
def test_a_fork_that_is_half_said_is_refused(headers: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse_fork(headers)


def test_only_true_is_true() -> None:
    assert [is_true(value) for value in ("true", "TRUE", "1", "yes", "", "false", None)] == [True, True] + [False] * 5


def test_content_types() -> None:
    assert is_json("Application/JSON; charset=utf-8")
    assert not is_json("application/json-seq")
    assert [is_text(kind) for kind in ("text/plain", "application/json", "image/png")] == [True, True, False]
    assert check_content_type("text/plain; charset=utf-8") == "text/plain; charset=utf-8"
    for wrong in ("", "text", "text/plain\r\nX: y", "text/plain, text/html", "a/" + "b" * 300):
        with pytest.raises(InvalidInput, match="media type"):
            check_content_type(wrong)


def test_a_tag_changes_when_the_stream_is_closed() -> None:
    tag = entity_tag("s", 0, 5, closed=False)
    assert tag == '"s:0:5"'
    assert tag_matches(f'"other", W/{tag}', tag)
    assert tag_matches("*", tag)
    assert not tag_matches(None, tag)
    assert not tag_matches(tag, entity_tag("s", 0, 5, closed=True))


def test_cursors_count_intervals_and_never_go_back() -> None:
    now_ms = CURSOR_EPOCH_MS + 1000 * CURSOR_INTERVAL_MS + 7
    assert next_cursor(now_ms, None, 1.0) == "1000"
    assert next_cursor(now_ms, "999", 1.0) == "1000"
    assert next_cursor(now_ms, "1000", 1.0) == "1001"
    assert next_cursor(now_ms, "1000", 3600.0) == "1180"
    assert next_cursor(now_ms, "5000", 1.0) == "5001"
    assert next_cursor(now_ms, "no cursor", 1.0) == "1000"
    assert next_cursor(0, None, 1.0) == "0"
