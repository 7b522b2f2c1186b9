import pytest

from littoral.core.asset_redirects import DYNAMIC_MOST, PLAIN_MOST, Redirect, Redirects

FILE = """
# where things went
/old            /new              301
/old            /never
/kept           /there?x=1#part
/é              https://é.example/ 307
/blog/*         https://blog.example/:splat
/user/:name     /people/:name/:age   308
/old/late       /late
/open/*         /:splat
/app/*          /app/shell        200
"""


@pytest.mark.parametrize(
    ("path", "query", "redirect"),
    [
        ("/old", "", Redirect("/new", 301)),
        ("//old", "a=1", Redirect("/new?a=1", 301)),
        ("/kept", "a=1", Redirect("/there?x=1#part", 302)),
        ("/%C3%A9", "", Redirect("https://%C3%A9.example/", 307)),
        ("/blog/a/b", "a=1", Redirect("https://blog.example/a/b?a=1", 302)),
        ("/user/ann", "", Redirect("/people/ann/:age", 308)),
        ("/old/late", "", Redirect("/late", 302)),
        ("/app/x", "", Redirect("/app/shell", 200)),
        ("/old/", "", None),
        ("/none", "", None),
    ],
)
def test_where_paths_lead(path: str, query: str, redirect: Redirect | None) -> None:
    assert Redirects(FILE).find(path, query) == redirect


@pytest.mark.parametrize("path", ["/open//evil.example", "/open/%2Fevil.example", "/open/\\evil.example", "/open/"])
def test_what_a_client_puts_into_a_path_leads_to_no_other_host(path: str) -> None:
    redirect = Redirects("/open/* /:splat").find(path, "")
    assert redirect is not None
    assert redirect.to.startswith("/")
    assert not redirect.to.startswith(("//", "/\\"))


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("/a", "found 1 words"),
        ("/a /b 301 x", "found 4 words"),
        ("a /b", 'found "a"; a rule is about a path'),
        ("https://x.example/a /b", "a rule is about a path"),
        ("/a?b=1 /b", "not at queries"),
        ("/a /b 404", 'found the status "404"'),
        ("/a /b 301!", 'found the status "301!"'),
        ("/a b", 'found "b"; it leads nowhere'),
        ("/a //b.example", "it leads nowhere"),
        ("/a https://b.example 200", "a file of the app's own"),
        ("/* /index.html 200", "it leads back to itself"),
        ("/a /a?b 301", "it leads back to itself"),
        ("/*/* /b", "more than one *"),
        (f"/{'a' * 1000} /b", "it has 1004 characters; at most 1000"),
    ],
)
def test_a_line_that_is_wrong_is_named_and_without_effect(line: str, cause: str) -> None:
    rules = Redirects(f"/z /y\n{line}\n")
    ((number, said, remedy, is_error),) = rules.faults
    assert (number, is_error, bool(remedy)) == (2, True, True)
    assert cause in said
    assert rules.find("/z", "") == Redirect("/y", 302)
    assert rules.find("/a", "") is None


def test_order_holds_and_the_second_of_two_is_pointed_out() -> None:
    rules = Redirects(FILE)
    ((number, cause, _, is_error),) = rules.faults
    assert (number, is_error) == (4, False)
    assert "a line above is about /old already" in cause
    assert Redirects("/a/* /first\n/a/b /second").find("/a/b", "") == Redirect("/first", 302)


def test_there_are_as_many_rules_as_workers_have() -> None:
    plain = [f"/{number} /to" for number in range(PLAIN_MOST + 1)]
    dynamic = [f"/{number}/* /to" for number in range(DYNAMIC_MOST)]
    rules = Redirects("\n".join([*plain, *dynamic, "/late /to"]))
    assert [(each.line, each.cause) for each in rules.faults] == [
        (PLAIN_MOST + 1, "there are more than 2000 lines without * and placeholders"),
        (2102, "there are more than 100 lines with * or placeholders, and after the first of these"),
    ]
