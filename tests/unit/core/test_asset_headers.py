import pytest

from littoral.core.asset_headers import RULES_MOST, HeaderRules

FILE = """
# everywhere
/*
  X-Frame-Options: DENY
  Link: <a>
  Link: <b>
/fonts/*
  Cache-Control: max-age=60
  ! X-Content-Type-Options
  Link: <font of :splat>
https://:sub.Shop.example/docs/:page
  X-Page: :sub/:page
/bare
  ! x-frame-options
"""
OURS = [("cache-control", "no-cache"), ("x-content-type-options", "nosniff")]


@pytest.mark.parametrize(
    ("host", "path", "fields"),
    [
        ("edge.test", "/a", [*OURS, ("x-frame-options", "DENY"), ("link", "<a>, <b>")]),
        (
            "edge.test",
            "//fonts/b/c",
            [
                ("x-frame-options", "DENY"),
                ("link", "<a>, <b>"),
                ("cache-control", "max-age=60"),
                ("link", "<font of b/c>"),
            ],
        ),
        (
            "x.shop.example",
            "/docs/intro",
            [*OURS, ("x-frame-options", "DENY"), ("link", "<a>, <b>"), ("x-page", "x/intro")],
        ),
        ("shop.example", "/docs/intro", [*OURS, ("x-frame-options", "DENY"), ("link", "<a>, <b>")]),
        ("edge.test", "/bare", [*OURS, ("link", "<a>, <b>")]),
    ],
)
def test_what_is_said_of_a_file(host: str, path: str, fields: list[tuple[str, str]]) -> None:
    rules = HeaderRules(FILE)
    assert not rules.faults
    assert list(rules.apply(host, path, OURS)) == fields


def test_without_rules_nothing_is_changed() -> None:
    assert HeaderRules("# nothing\n").apply("edge.test", "/a", OURS) is OURS


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("X-A: b", 1, "it belongs to no path"),
        ("/a\n  X-A", 2, 'found "X-A"'),
        ("/a\n  X A: b", 2, 'found "X A: b"'),
        ("/a\n  X-A:", 2, 'found "X-A:"'),
        ("/a\n  X-A: \u20ac", 2, "found"),
        ("/a\n  ! X-A: b", 2, "takes a field away and gives it a value"),
        ("/a\n  Content-Length: 5", 2, "content-length says how the answer travels"),
        ("/a\n  ! Content-Encoding", 2, "content-encoding says how"),
        ("http://a.example/\n X-A: b", 1, 'found "http://a.example/"'),
        ("https://a.example:80/\n X-A: b", 1, "it names a port"),
        ("https://*.example/*\n X-A: b", 1, "more than one *"),
        ("/:a/:a\n X-A: b", 1, "twice"),
        (f"/a\n X-A: {'b' * 2000}", 2, "it has 2005 characters; at most 2000"),
    ],
)
def test_a_line_that_is_wrong_is_named_and_without_effect(text: str, line: int, cause: str) -> None:
    rules = HeaderRules(f"{text}\n/a\n  X-Last: c\n")
    ((number, said, remedy, is_error),) = rules.faults
    assert (number, is_error, bool(remedy)) == (line, True, True)
    assert cause in said
    assert list(rules.apply("a.example", "/a", [])) == [("x-last", "c")]


def test_there_are_as_many_rules_as_workers_have() -> None:
    rules = HeaderRules("".join(f"/{number}\n  X-A: {number}\n" for number in range(RULES_MOST + 1)))
    assert [(each.line, each.cause) for each in rules.faults] == [(201, "there are more than 100 rules")]
    assert list(rules.apply("", "/100", [])) == []
