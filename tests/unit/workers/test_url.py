import pytest

from littoral.workers import URL, URLSearchParams


def test_a_url_has_parts_that_can_be_set() -> None:
    url = URL.new("https://user:pw@EXAMPLE.com:8443/a b?x=1#h")
    assert (url.protocol, url.username, url.password) == ("https:", "user", "pw")
    assert (url.host, url.hostname, url.port) == ("example.com:8443", "example.com", "8443")
    assert (url.pathname, url.search, url.hash, url.origin) == ("/a%20b", "?x=1", "#h", "https://example.com:8443")
    url.hostname, url.pathname = "other.test", "/ö"
    assert str(url) == url.href == url.toString() == "https://user:pw@other.test:8443/%C3%B6?x=1#h"
    assert URL("../b", "https://a.test/x/y") == URL("https://a.test/b")


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(TypeError, match="'/relative' is no absolute URL"):
        URL("/relative")
    assert (URL.canParse("/relative"), URL.canParse("/relative", "https://a.test")) == (False, True)
    with pytest.raises(AttributeError, match="URL has no 'path'; it has: href"):
        _ = URL("https://a.test").path


def test_the_query_follows_its_parameters() -> None:
    url = URL("https://a.test/?b=1&a=%C3%B6+x&b=2")
    params = url.searchParams
    assert (params.get("b"), params.getAll("b"), params.get("a"), params.get("c")) == ("1", ["1", "2"], "ö x", None)
    assert ("b" in params, params.has("b", "3"), len(params), next(iter(params))) == (True, False, 3, ("b", "1"))
    params.delete("b")
    params.append("c", 1)
    params.set("a", "&")
    assert url.search == "?a=%26&c=1"
    params.sort()
    assert list(params.keys()) == ["a", "c"]
    url.search = "?z=9"
    assert url.searchParams.get("z") == "9"


def test_parameters_are_made_of_text_pairs_and_mappings() -> None:
    assert str(URLSearchParams("?a=1&b")) == "a=1&b="
    assert str(URLSearchParams({"a": 1, "b": "ö"})) == "a=1&b=%C3%B6"
    assert str(URLSearchParams.new([("a", "1"), ("a", "2")])) == "a=1&a=2"
    assert URLSearchParams(URLSearchParams("a=1")).as_body() == (
        b"a=1",
        "application/x-www-form-urlencoded;charset=UTF-8",
    )
