import pytest

from littoral.core.asset_paths import Moved, Page, fallback, find, runs_first
from littoral.core.resources.app_assets import HtmlHandling

FILES = {
    ("index.html",),
    ("file.html",),
    ("folder", "index.html"),
    ("both.html",),
    ("both", "index.html"),
    ("a.txt",),
    ("page.html.txt",),
    ("ö b.html",),
    ("_headers",),
    ("404.html",),
    ("docs", "404.html"),
}


@pytest.mark.parametrize(
    ("handling", "path", "found"),
    [
        ("auto-trailing-slash", "/", "index.html"),
        ("auto-trailing-slash", "/index.html", "> /"),
        ("auto-trailing-slash", "/index", "> /"),
        ("auto-trailing-slash", "/file", "file.html"),
        ("auto-trailing-slash", "/file.html", "> /file"),
        ("auto-trailing-slash", "/file/", "> /file"),
        ("auto-trailing-slash", "/file/index", "> /file"),
        ("auto-trailing-slash", "/folder/", "folder/index.html"),
        ("auto-trailing-slash", "/folder", "> /folder/"),
        ("auto-trailing-slash", "/folder.html", "> /folder/"),
        ("auto-trailing-slash", "/folder/index.html", "> /folder/"),
        ("auto-trailing-slash", "/both", "both.html"),
        ("auto-trailing-slash", "/both/", "both/index.html"),
        ("auto-trailing-slash", "/a.txt", "a.txt"),
        ("auto-trailing-slash", "/a.txt/", None),
        ("auto-trailing-slash", "/%C3%B6%20b", "ö b.html"),
        ("auto-trailing-slash", "/%C3%B6%20b.html", "> /%C3%B6%20b"),
        ("auto-trailing-slash", "//file", "file.html"),
        ("auto-trailing-slash", "/none", None),
        ("auto-trailing-slash", "/_headers", None),
        ("auto-trailing-slash", "/%2e%2e/a.txt", None),
        ("auto-trailing-slash", "/folder%2Findex.html", None),
        ("auto-trailing-slash", "/%ff", None),
        ("force-trailing-slash", "/", "index.html"),
        ("force-trailing-slash", "/file/", "file.html"),
        ("force-trailing-slash", "/file", "> /file/"),
        ("force-trailing-slash", "/folder", "> /folder/"),
        ("drop-trailing-slash", "/", "index.html"),
        ("drop-trailing-slash", "/folder", "folder/index.html"),
        ("drop-trailing-slash", "/folder/", "> /folder"),
        ("drop-trailing-slash", "/file", "file.html"),
        ("none", "/", None),
        ("none", "/file", None),
        ("none", "/file.html", "file.html"),
        ("none", "/folder/", None),
        ("none", "/folder/index.html", "folder/index.html"),
    ],
)
def test_a_page_is_at_one_path_and_others_lead_there(handling: HtmlHandling, path: str, found: str | None):
    expected: object = None
    if found is not None:
        expected = Moved(found[2:]) if found.startswith("> ") else Page(tuple(found.split("/")))
    assert find(path, handling, FILES.__contains__) == expected


@pytest.mark.parametrize("path", ["/%2e%2e/a", "/../a", "/.hidden", "/a/.git/b", "/a%2Fb", "/a%00", "/%ff"])
def test_no_path_leads_out_of_the_folder_or_to_what_is_hidden(path: str):
    assert find(path, "none", lambda parts: True) is None
    assert find("/.well-known/a", "none", lambda parts: True) == Page((".well-known", "a"))


def test_what_is_given_where_nothing_is():
    assert fallback("/a/b", "none", FILES.__contains__) is None
    assert fallback("/a/b", "single-page-application", FILES.__contains__) == Page(("index.html",))
    assert fallback("/docs/a/b", "404-page", FILES.__contains__) == Page(("docs", "404.html"), 404)
    assert fallback("/a/b", "404-page", FILES.__contains__) == Page(("404.html",), 404)
    assert fallback("/a/b", "404-page", lambda parts: False) is None


def test_the_code_is_asked_first_where_the_document_says_so():
    assert runs_first("/a", True)
    assert not runs_first("/a", False)
    rules = ["/api/*", "!/api/docs/*", "/exact"]
    paths = ["/api/a", "/api/docs/a", "/exact", "/exact/a", "/", "/xapi/a"]
    assert [runs_first(path, rules) for path in paths] == [True, False, True, False, False, False]


@pytest.mark.parametrize(
    "path", ["//admin/a", "/admin//a", "/%61dmin/a", "/admin/%61", "//admin//a/", "/ad%21min/a", "/ad!min/a"]
)
def test_the_code_is_asked_first_however_a_path_is_written(path: str):
    assert runs_first(path, ["/admin/*", "/ad%21min/*"])
    assert runs_first(path, ["/*", "!/admin/b"])
    assert not runs_first(path, ["/*", "!/admin/*", "!/ad!min/*"])
