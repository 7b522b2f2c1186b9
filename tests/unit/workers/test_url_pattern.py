from typing import Any

import pytest

from littoral.workers import URLPattern

BASE = "https://edge.test"


@pytest.mark.parametrize(
    ("pattern", "path", "groups"),
    [
        ("/books/:id", "/books/12", {"id": "12"}),
        ("/books/:id", "/books/12/pages", None),
        ("/books/:id", "/books/", None),
        ("/books/:id(\\d+)", "/books/12", {"id": "12"}),
        ("/books/:id(\\d+)", "/books/x", None),
        ("/books/:id?", "/books", {"id": None}),
        ("/books/:id?", "/books/12", {"id": "12"}),
        ("/books/:id?", "/books/", None),
        ("/files/:path+", "/files/a/b/c", {"path": "a/b/c"}),
        ("/files/:path+", "/files", None),
        ("/files/:path*", "/files", {"path": None}),
        ("/files/*", "/files/a/b", {"0": "a/b"}),
        ("/files/*", "/files/", {"0": ""}),
        ("*.png", "/a/b.png", {"0": "/a/b"}),
        ("/:a-:b", "/x-y", {"a": "x", "b": "y"}),
        ("/a{/b}?/c", "/a/c", {}),
        ("/a{/b}?/c", "/a/b/c", {}),
        ("/product{/v:version}?", "/product/v2", {"version": "2"}),
        ("/product{/v:version}?", "/product", {"version": None}),
        ("/(a|b)/(\\d+)", "/b/7", {"0": "b", "1": "7"}),
        ("/a\\:b", "/a:b", {}),
        ("/ö", "/ö", {}),
        ("/a.c", "/abc", None),
        ("/", "/", {}),
    ],
)
def test_paths(pattern: str, path: str, groups: dict[str, str | None] | None) -> None:
    result = URLPattern(pattern, BASE).exec(BASE + path)
    assert (None if result is None else result.pathname.groups) == groups
    assert URLPattern({"pathname": pattern}).test(BASE + path) == (groups is not None)


@pytest.mark.parametrize(
    ("pattern", "url", "matches"),
    [
        ("https://edge.test/*", "https://edge.test/a", True),
        ("https://edge.test/*", "http://edge.test/a", False),
        ("https://edge.test/*", "https://edge.test:8443/a", False),
        ("https://edge.test:443/*", "https://edge.test/a", True),
        ("https://*.edge.test/*", "https://a.b.edge.test/", True),
        ("https://:sub.edge.test/", "https://a.edge.test/", True),
        ("https://:sub.edge.test/", "https://a.b.edge.test/", False),
        ("http{s}?://EDGE.test/a", "http://edge.test/a", True),
        ("https://edge.test/a?q=*#top", "https://edge.test/a?q=1#top", True),
        ("https://edge.test/a?q=*#top", "https://edge.test/a?q=1#end", False),
        ("https://edge.test/a", "https://edge.test/a?any=1", True),
        ("https://edge.test?q=1", "https://edge.test/?q=1", True),
        ("https://edge.test?q=1", "https://edge.test/b?q=1", False),
        ("https://u:{p}@edge.test/", "https://u:p@edge.test/", True),
        ("*://edge.test/:id\\?x=:y", "ftp://edge.test/1?x=2", True),
    ],
)
def test_whole_urls(pattern: str, url: str, matches: bool) -> None:
    assert URLPattern(pattern).test(url) is matches


def test_what_a_match_says() -> None:
    result = URLPattern({"hostname": ":sub.edge.test", "pathname": "/:page"}).exec("https://A.edge.test/x?q=1")
    assert result is not None
    assert (result.hostname.groups, result.pathname.groups, result.search.groups) == (
        {"sub": "a"},
        {"page": "x"},
        {"0": "q=1"},
    )
    assert (result.pathname.input, result.protocol.input) == ("/x", "https")
    assert URLPattern("/a", BASE).test({"pathname": "/a", "protocol": "https", "hostname": "edge.test"})
    assert URLPattern("/a", BASE).test("/a", BASE)
    assert not URLPattern("/a", BASE).test("no url")


def test_case_is_ignored_where_it_is_asked_for() -> None:
    assert not URLPattern("/Books", BASE).test(BASE + "/books")
    assert URLPattern.new({"pathname": "/Books"}, {"ignoreCase": True}).test(BASE + "/books")


def test_a_pattern_tells_its_components() -> None:
    pattern = URLPattern("/books/:id", BASE)
    assert (pattern.protocol, pattern.hostname, pattern.port, pattern.pathname, pattern.search) == (
        "https",
        "edge\\.test",
        "",
        "/books/:id",
        "*",
    )


@pytest.mark.parametrize(
    ("pattern", "base", "message"),
    [
        ("/books/:id", None, "no base URL"),
        ("/:a/:a", BASE, "two groups named 'a'"),
        ("/(a", BASE, "does not end"),
        ("/((a))", BASE, "capturing group"),
        ("/{a", BASE, "does not close"),
        ("/a}", BASE, "nothing is before it"),
        ("/a\\", BASE, "backslash"),
        ("/([)", BASE, "is no pattern"),
        ({"path": "/a"}, None, "no component 'path'"),
    ],
)
def test_what_is_no_pattern_says_why(pattern: Any, base: str | None, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        URLPattern(pattern, base)
