import asyncio

import pytest

from littoral.workers import Blob, File, FormData


def test_a_form_is_a_multimap() -> None:
    form = FormData({"a": "1"})
    form.append("b", "2")
    form.append("a", 3)
    assert (form["a"], form.get("a"), form.get_all("a"), form.getAll("c")) == ("1", "1", ["1", "3"], [])
    assert (form["c"], form.get("c", "4"), "c" in form, form.has("a"), len(form)) == (None, "4", False, True, 3)
    assert list(form.items()) == [("a", "1"), ("b", "2"), ("a", "3")]
    assert (list(form), list(form.values())) == (["a", "b", "a"], ["1", "2", "3"])
    form["a"] = "5"
    assert list(form.entries()) == [("a", "5"), ("b", "2")]
    form.set("c", "6")
    del form["a"]
    del form["nothing"]
    assert list(form.items()) == [("b", "2"), ("c", "6")]


def test_blobs_become_files() -> None:
    form = FormData()
    form.append("a", Blob("x", "text/css"))
    form.append("b", Blob("x"), "b.css")
    form.append("c", File("x", "c.css"))
    form.append("d", b"x")
    files = [value for value in form.values() if isinstance(value, File)]
    assert [file.name for file in files] == ["blob", "b.css", "c.css", "blob"]
    assert files[0].content_type == "text/css"
    assert asyncio.run(files[3].text()) == "x"


def test_lists_are_refused() -> None:
    with pytest.raises(TypeError, match="append its members one by one"):
        FormData()["a"] = ["1", "2"]  # type: ignore[assignment]
