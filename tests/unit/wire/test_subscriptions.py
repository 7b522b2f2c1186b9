"""Globs, and what is said of refusals."""

import pytest

from littoral.core.errors import Forbidden, InvalidInput, LimitReached, LittoralError, StorageFull, Unavailable
from littoral.wire.subscriptions import Glob, Refused, refusal_of


@pytest.mark.parametrize(
    ("pattern", "means", "does_not_mean"),
    [
        ("a/b", ["a/b"], ["a", "a/b/c", "b", "a/bb"]),
        ("a/*", ["a/b", "a/."], ["a", "a/b/c", "x/a/b"]),
        ("*", ["a", "b"], ["a/b"]),
        ("*/x", ["a/x"], ["x", "a/b/x"]),
        ("a/**", ["a", "a/b", "a/b/c"], ["b", "ab", "b/a"]),
        ("**", ["a", "a/b/c"], []),
        ("**/x", ["x", "a/x", "a/b/x"], ["a/x/b", "ax"]),
        ("a/**/x", ["a/x", "a/b/x", "a/b/c/x"], ["a", "a/b", "b/x"]),
        ("a/**/**/x", ["a/x", "a/b/x"], ["a"]),
        ("a/**/*", ["a/b", "a/b/c"], ["a"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_a_glob_means_whole_parts(pattern: str, means: list[str], does_not_mean: list[str]):
    glob = Glob(pattern)
    assert [path for path in means if not glob.matches(path)] == []
    assert [path for path in does_not_mean if glob.matches(path)] == []


@pytest.mark.parametrize(
    ("pattern", "reaches"),
    [
        ("a/b", ("a/b",)),
        ("a/*", ("a/*",)),
        ("a/*/b", ("a/*",)),
        ("a/**", ("a", "a/*")),
        ("a/**/**", ("a", "a/*")),
        ("a/**/b", ("a/*",)),
        ("*", ("*",)),
        ("**/b", ("*",)),
    ],
)
def test_what_bounds_a_glob_covers_all_that_it_means(pattern: str, reaches: tuple[str, ...]):
    assert Glob(pattern).reaches() == reaches
    paths = ["a", "b", "a/b", "a/b/c", "a/x/b", "a/x/y/b", "ab", "b/a"]
    for path in filter(Glob(pattern).matches, paths):
        assert any(path.startswith(each[:-1]) if each.endswith("*") else path == each for each in reaches), path


@pytest.mark.parametrize("pattern", ["", "/", "a/", "/a", "a//b", "a*", "*a", "***", "a/?", "a/[b]", "a b", "é", "a\n"])
def test_what_is_no_glob_is_refused(pattern: str):
    with pytest.raises(Refused, match="is no pattern"):
        Glob(pattern)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput("a", "b", "c"), 400, "INVALID_REQUEST"),
        (Forbidden("a", "b", "c"), 403, "FORBIDDEN"),
        (LimitReached("a", "b", "c"), 429, "LIMIT_REACHED"),
        (Unavailable("a", "b", "c"), 503, "UNAVAILABLE"),
        (StorageFull("a", "b", "c"), 507, "STORAGE"),
    ],
)
def test_an_error_of_ours_is_said_in_the_protocols_form(error: LittoralError, status: int, code: str):
    refused = refusal_of(error)
    assert (refused.status, refused.code) == (status, code)
    assert refused.body() == f'{{"error":{{"code":"{code}","message":"cannot a b: c"}}}}'.encode()
