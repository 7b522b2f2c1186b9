"""What a developer's browser shows of an exception."""

import importlib.util
from pathlib import Path

from littoral.functions.worker.error_page import error_page

CODE = """\
def fetch(request):
    return inner("<b>")

def inner(text):
    raise ValueError(text)
"""


def raised(folder: Path) -> ValueError:
    (folder / "entry.py").write_text(CODE)
    spec = importlib.util.spec_from_file_location("entry", folder / "entry.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        module.fetch(None)
    except ValueError as error:
        return error
    raise AssertionError


def test_a_browser_gets_a_page_with_the_lines_of_the_source(tmp_path: Path):
    kind, page = error_page(raised(tmp_path), "GET http://a/<x>", str(tmp_path), "text/html,*/*")
    assert kind == "text/html; charset=utf-8"
    text = page.decode()
    assert "<title>ValueError: &lt;b&gt;</title>" in text
    assert "in GET http://a/&lt;x&gt;" in text
    assert "File &quot;entry.py&quot;, line 5, in inner\n    raise ValueError(text)" in text


def test_others_get_text(tmp_path: Path):
    kind, page = error_page(raised(tmp_path), "GET http://a/", str(tmp_path), "*/*")
    assert kind == "text/plain; charset=utf-8"
    assert page.decode().startswith("GET http://a/\n\nTraceback (most recent call last):\n")
    assert page.decode().endswith("ValueError: <b>\n")
