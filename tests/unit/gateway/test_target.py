import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.errors import InvalidInput
from littoral.gateway.target import read_target


@pytest.mark.parametrize(
    ("sent", "path", "query"),
    [
        ("/", "/", ""),
        ("/a/b?c=d&e", "/a/b", "c=d&e"),
        ("/a?b?c", "/a", "b?c"),
        ("/a?", "/a", ""),
        ("*", "*", ""),
        ("//a///b/", "//a///b/", ""),
        ("/%7euser/%41", "/~user/A", ""),  # unreserved: needlessly encoded
        ("/a%2fb", "/a%2Fb", ""),  # reserved: another path than /a/b
        ("/a%c3%B6", "/a%C3%B6", ""),
        ("/a/./b/../c", "/a/c", ""),
        ("/../../etc", "/etc", ""),
        ("/a/%2e%2E/b", "/b", ""),
        ("/a/..", "/", ""),
        ("/a/b/.", "/a/b/", ""),
        ("/a..%2fb/...;c", "/a..%2Fb/...;c", ""),
        ("/a;..", "/a;..", ""),
        ("/.well-known/x..y", "/.well-known/x..y", ""),
        ("/a|b", "/a%7Cb", ""),
        ("/a?b=%2e%2e|x", "/a", "b=%2e%2e|x"),  # a query is as it was sent
    ],
)
def test_a_path_has_one_form(sent: str, path: str, query: str) -> None:
    assert read_target(sent) == (path, query)


@pytest.mark.parametrize("sent", ["", "a", "?a", "/%", "/%4", "/%zz", "/a b", "/a#b", "/a?b#c", "/ö", "/%00", "/a\x00"])
def test_what_is_no_target_is_refused(sent: str) -> None:
    with pytest.raises(InvalidInput):
        read_target(sent)


@pytest.mark.parametrize(
    "sent",
    [
        "/static/..%2faccount",
        "/static/%2e%2e%2Faccount",
        "/static/..%5caccount",
        "/static/..\\account",
        "/static/..;/account",
        "/static/..;x=1/account",
        "/static/.;/account",
        "/static%2f../account",
        "/static%2F..",
        "/static/..;",
        "/account%2F%2E%2Fstatic",
    ],
)
def test_a_dot_segment_that_only_some_servers_see_is_refused(sent: str) -> None:
    with pytest.raises(InvalidInput, match="servers read in different ways"):
        read_target(sent)


@given(st.text(st.characters(codec="latin-1"), max_size=40).map("/".__add__))
def test_the_form_is_its_own(sent: str) -> None:
    try:
        target = read_target(sent)
    except InvalidInput:
        return
    assert read_target(str(target)) == target
    assert "/../" not in target.path + "/"
    assert "/./" not in target.path + "/"
