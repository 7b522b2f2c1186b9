"""Invalidation: RFC 9111, section 4.4."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.caching.invalidation import invalidated

ORIGIN = "https://example.com"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "post", "FOO"])
@pytest.mark.parametrize("status", [200, 201, 204, 301, 303, 304])
def test_success_of_an_unsafe_method_invalidates_its_target(method: str, status: int):
    assert invalidated(method, status, ORIGIN, "/a?b", []) == ("/a?b",)


@pytest.mark.parametrize("status", [100, 199, 400, 404, 500, 503, 599])
def test_an_error_changes_nothing(status: int):
    assert invalidated("POST", status, ORIGIN, "/a", [("location", "/b")]) == ()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "QUERY"])
def test_a_safe_method_changes_nothing(method: str):
    assert invalidated(method, 200, ORIGIN, "/a", [("location", "/b")]) == ()


@pytest.mark.parametrize("name", ["location", "content-location"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/b", ("/a/x?y", "/b")),
        ("b?c=d", ("/a/x?y", "/a/b?c=d")),
        ("../b#part", ("/a/x?y", "/b")),
        ("https://EXAMPLE.com:443/b", ("/a/x?y", "/b")),
        ("//example.com", ("/a/x?y", "/")),
        ("", ("/a/x?y",)),
        ("/a/x?y", ("/a/x?y",)),
        ("https://example.org/b", ("/a/x?y",)),
        ("http://example.com/b", ("/a/x?y",)),
        ("https://example.com:8443/b", ("/a/x?y",)),
        ("https://example.com.evil.org/b", ("/a/x?y",)),
        ("https://[/b", ("/a/x?y",)),
        ("https://example.com:99999/b", ("/a/x?y",)),
        ("/" + "b" * 10_000, ("/a/x?y",)),
    ],
)
def test_what_the_response_points_to_is_invalid_if_it_is_of_the_same_origin(
    name: str, value: str, expected: tuple[str, ...]
):
    assert invalidated("PUT", 200, ORIGIN, "/a/x?y", [(name, value)]) == expected


def test_the_origin_has_its_port():
    fields = [("location", "http://127.0.0.1:8080/b"), ("content-location", "http://127.0.0.1/c")]
    assert invalidated("POST", 201, "http://127.0.0.1:8080", "/a", fields) == ("/a", "/b")


@given(st.text(max_size=300))
def test_no_location_raises(value: str):
    assert invalidated("POST", 200, ORIGIN, "/a", [("location", value)])[0] == "/a"
