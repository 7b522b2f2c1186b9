"""Cache-Status: RFC 9211, section 2; RFC 9651, section 4.1.6."""

from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.caching.cache_status import Forward, cache_status, decision


def test_a_hit():
    assert cache_status("Littoral", ttl_s=376.9) == "Littoral; hit; ttl=376"


def test_a_hit_that_is_stale():
    assert cache_status("Littoral", ttl_s=-412.0) == "Littoral; hit; ttl=-412"


def test_a_miss_that_was_stored():
    member = cache_status("Littoral", forward="uri-miss", stored=True, ttl_s=60, key="/a", detail="memory")
    assert member == 'Littoral; fwd=uri-miss; stored; ttl=60; key="/a"; detail="memory"'


def test_a_validation():
    member = cache_status("Littoral", forward="stale", forward_status=304, collapsed=True)
    assert member == "Littoral; fwd=stale; fwd-status=304; collapsed"


def test_a_hit_went_nowhere():
    with pytest.raises(AssertionError, match="Littoral"):
        cache_status("Littoral", stored=True)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("", ""),
        (cache_status("Littoral", ttl_s=5), "hit"),
        (cache_status("Littoral", ttl_s=-5, detail="the origin answered 503"), "stale-hit"),
        (cache_status("Littoral", forward="uri-miss", stored=True), "uri-miss"),
        (cache_status("Littoral", forward="uri-miss", collapsed=True, ttl_s=1), "collapsed"),
        (cache_status("Littoral", forward="stale", forward_status=304, stored=True), "validated"),
        (cache_status("Littoral", forward="stale", stored=True), "stale"),
        ("region; hit; ttl=3, site; fwd=uri-miss; stored", "uri-miss"),
        ("Littoral", ""),
    ],
)
def test_what_a_cache_did_is_a_word(status: str, word: str):
    assert decision(status) == word


@given(st.sampled_from(["uri-miss", "method", "bypass"]), st.text(), st.text())
def test_no_text_passes_for_what_a_cache_did(forward: Forward, key: str, detail: str):
    assert decision(cache_status("Littoral", forward=forward, key=key, detail=detail)) == forward


@given(st.text(), st.text())
def test_any_text_can_be_sent(key: str, detail: str):
    member = cache_status("Littoral", key=key, detail=detail)
    assert len(member) < 5000
    parsed: Any = http_sf.parse(member.encode(), tltype="list")
    ((name, parameters),) = parsed
    assert str(name) == "Littoral"
    assert set(parameters) == {"hit", "key", "detail"}
    if key.isascii() and key.isprintable():
        assert parameters["key"] == key[:1024]
