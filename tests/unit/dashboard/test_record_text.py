"""Records as a person reads them."""

import json

import pytest

from littoral.dashboard.record_text import HEX_BYTES, HEX_LINES, SHOWN_CHARACTERS, record_text


def test_short_json_stays_in_one_line_and_long_json_is_laid_out() -> None:
    assert record_text(b'{"a":1}', 7, "application/json").text == '{"a": 1}'
    long = json.dumps({f"key-{n}": n for n in range(20)}).encode()
    shown = record_text(long, len(long), "application/json")
    assert (shown.kind, shown.text.splitlines()[:2]) == ("JSON", ["{", '  "key-0": 0,'])


@pytest.mark.parametrize("record", [b'{"a":', b"[" * 100_000, b"{'a': 1}"])
def test_what_only_looks_like_json_is_text(record: bytes) -> None:
    shown = record_text(record, len(record), "application/json")
    assert shown.kind == "text"
    assert shown.text == record[:SHOWN_CHARACTERS].decode()


def test_text_is_shown_as_it_is_and_markup_stays_text() -> None:
    hostile = b'<img src=x onerror="alert(1)">\nnext'
    assert record_text(hostile, len(hostile), "text/plain").text == hostile.decode()


@pytest.mark.parametrize(
    "record", [b"a\x1b[31mred", "a\u202eb".encode(), "a\u2066b".encode(), b"a\x07b", "a\x9bb".encode()]
)
def test_what_steers_a_screen_or_turns_text_around_is_not_shown(record: bytes) -> None:
    assert "a\N{REPLACEMENT CHARACTER}" in record_text(record, len(record), "text/plain").text


def test_escapes_of_json_do_not_bring_them_back() -> None:
    record = rb'{"a": "\u202e\u001b[31m"}'
    shown = record_text(record, len(record), "application/json").text
    assert "\u202e" not in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("record", [b"\xff\xfe\x00", b"text with a zero \0"])
def test_bytes_are_shown_in_hex(record: bytes) -> None:
    shown = record_text(record, len(record), "text/plain")
    assert shown.kind == "bytes"
    assert shown.text.startswith(f"000000  {record.hex(' ')[:8]}")


def test_what_is_long_is_cut_and_said_to_be() -> None:
    text = record_text(b"x" * 20_000, 20_000, "text/plain")
    assert (len(text.text), text.note) == (SHOWN_CHARACTERS, "Only the beginning is shown. The record has 20 kB.")
    dump = record_text(bytes(20_000), 20_000)
    assert len(dump.text.splitlines()) == HEX_LINES
    assert "has 20 kB" in dump.note
    exact = record_text(bytes(HEX_LINES * HEX_BYTES), HEX_LINES * HEX_BYTES)
    assert exact.note == ""


def test_a_head_that_ends_within_a_character_is_text_still() -> None:
    head = "aä".encode()[:2]
    assert record_text(head, 1000, "text/plain").text == "a"
    assert record_text(head, 2, "text/plain").kind == "bytes", "that is all there is of it"
