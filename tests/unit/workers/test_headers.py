import pytest

from littoral.workers import Headers


def test_names_are_case_insensitive_and_values_of_one_name_are_joined() -> None:
    headers = Headers([("Accept", "a"), ("ACCEPT", "b")])
    assert headers["accept"] == "a, b"
    assert headers.get("Accept") == "a, b"
    assert "aCCept" in headers
    assert headers.keys() == ["accept"]
    assert len(headers) == 1


def test_cookies_stay_apart() -> None:
    headers = Headers({"x": "1"})
    headers.append("Set-Cookie", "a=1")
    headers.append("Set-Cookie", "b=2")
    assert headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert headers.items() == [("x", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]


def test_setting_replaces_and_deleting_removes_all() -> None:
    headers = Headers([("x", "1"), ("x", "2")])
    headers["X"] = "3"
    assert headers.get_all("x") == ["3"]
    del headers["x"]
    assert headers.get("x") is None
    assert list(headers) == []
    with pytest.raises(KeyError):
        headers["x"]
    with pytest.raises(KeyError):
        del headers["x"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("bad name", "x", "is no header name"), ("", "x", "is no header name"), ("x", "a\r\nb: c", "control character")],
)
def test_what_http_does_not_allow_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Headers({name: value})
