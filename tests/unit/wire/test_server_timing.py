"""Server-Timing: W3C Working Draft, section 3."""

from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.server_timing import METRICS_MOST, Metric, read_server_timing


def test_what_is_written_is_read():
    metrics = [Metric("cache", None, "hit"), Metric("db", 53.1, 'a "b", c;d \\'), Metric("total", 0.0)]
    assert read_server_timing(", ".join(map(str, metrics))) == metrics
    assert ", ".join(map(str, metrics[:1])) == "cache;desc=hit"


def test_what_the_draft_shows_is_read():
    assert read_server_timing("miss, db;dur=53, app;dur=47.2") == [
        Metric("miss"),
        Metric("db", 53.0),
        Metric("app", 47.2),
    ]
    assert read_server_timing('dc;desc="atl";dur = 1 ; DUR=2') == [Metric("dc", 1.0, "atl")]


def test_what_cannot_be_read_is_left_out():
    assert read_server_timing(',, a;;dur="3", b;dur=x, "c", d e, f;dur=-1') == [
        Metric("a", 3.0),
        Metric("b"),
        Metric("f"),
    ]
    assert len(read_server_timing("a," * 10_000)) == METRICS_MOST


@given(st.text(st.characters(max_codepoint=255)))
def test_any_text_is_read(value: str):
    for metric in read_server_timing(value):
        assert read_server_timing(str(metric)) == [
            metric._replace(duration_ms=metric.duration_ms and round(metric.duration_ms, 1))
        ]


@given(st.text())
def test_any_description_can_be_sent(text: str):
    written = str(Metric("a", 1.0, text))
    assert written.isascii()
    assert written.isprintable()
    assert len(read_server_timing(written)) == 1
