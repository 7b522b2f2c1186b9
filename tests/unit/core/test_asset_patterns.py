import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.asset_patterns import BadPattern, Pattern, encoded, filled, without_empty_parts


@pytest.mark.parametrize(
    ("pattern", "path", "values"),
    [
        ("/a", "/a", {}),
        ("/a", "/a/", None),
        ("/blog/*", "/blog/", {"splat": ""}),
        ("/blog/*", "/blog/a/b", {"splat": "a/b"}),
        ("/blog/*", "/blog", None),
        ("/*.jpg", "/a/b.jpg", {"splat": "a/b"}),
        ("/*.jpg", "/.jpg", {"splat": ""}),
        ("/a*a", "/a", None),
        ("/*/edit", "/edit", None),
        ("/*/edit", "/x/y/edit", {"splat": "x/y"}),
        ("/:lang/*/:page", "/de/a/b/c", {"lang": "de", "splat": "a/b", "page": "c"}),
        ("/:lang/*/:page", "/de/c", None),
        ("/:year-:month.html", "/2026-11-x.html", {"year": "2026-11", "month": "x"}),
        ("/:a:b", "/xyz", {"a": "xy", "b": "z"}),
        ("/:a-:b", "/-x", None),
        ("/:a-:b", "/x-", None),
        ("/u/:id", "/u/", None),
        ("/u/:id", "/u/1/2", None),
        ("/a:80", "/a:80", {}),
    ],
)
def test_what_a_pattern_is_about(pattern: str, path: str, values: dict[str, str] | None) -> None:
    assert Pattern(pattern).match(path) == values


@pytest.mark.parametrize(
    ("pattern", "cause"),
    [("/*/*", "more than one"), ("/:a/:a", "twice"), ("/:splat", "splat"), ("/:a*", "a placeholder and a *")],
)
def test_what_is_no_pattern(pattern: str, cause: str) -> None:
    with pytest.raises(BadPattern, match=cause):
        Pattern(pattern)


PIECES = st.lists(st.sampled_from(["/", "a", "-", ":x", ":y", ":z", "*", "b"]), max_size=7).map("".join)


@given(PIECES, st.text("/ab-", max_size=9))
def test_it_matches_as_the_expression_does_that_workers_make_of_it(pattern: str, path: str) -> None:
    try:
        made = Pattern(pattern)
    except BadPattern:
        return
    expression = re.sub(r":([A-Za-z]\w*)", r"(?P<\1>[^/]+)", re.escape(pattern).replace(r"\*", "(?P<splat>.*)"))
    found = re.fullmatch(expression, path)
    assert made.match(path) == (None if found is None else found.groupdict())


def test_hosts_are_matched_label_by_label() -> None:
    host = Pattern(":sub.shop.example", ".")
    assert host.match("a.shop.example") == {"sub": "a"}
    assert host.match("a.b.shop.example") is None
    assert Pattern("*.example", ".").match("a.b.example") == {"splat": "a.b"}


def test_texts_are_filled_and_paths_brought_into_form() -> None:
    values = {"a": "1", "ab": "2"}
    assert filled("/:a/:ab/:c:a", values) == "/1/2/:c1"
    assert filled("https://x.example:8080/:a", {}) == "https://x.example:8080/:a"
    assert encoded('/é/%C3%A9/a b/"') == "/%C3%A9/%C3%A9/a%20b/%22"
    assert without_empty_parts("//a///b/") == "/a/b/"
