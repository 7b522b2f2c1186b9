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
    assert headers.getSetCookie() == ["a=1", "b=2"]
    assert headers.items() == [("x", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]


def test_setting_replaces_and_deleting_removes_all() -> None:
    headers = Headers([("x", "1"), ("x", "2")])
    headers["X"] = "3"
    assert headers.get_all("x") == ["3"]
    del headers["x"]
    assert headers.get("x") is None
    assert list(headers) == []


def test_what_is_not_there_is_none_and_may_be_deleted() -> None:
    headers = Headers({"x": "1"})
    del headers["y"]
    assert headers["y"] is None
    assert headers.get("y", "z") == "z"
    assert headers.items() == [("x", "1")]


def test_fields_are_taken_as_they_are_given() -> None:
    given = Headers([("A", 1), ("a", "2")])
    assert Headers(given).items() == [("a", "1"), ("a", "2")]
    copy = Headers(given)
    copy.append("b", "3")
    assert (given.values(), copy.values()) == (["1", "2"], ["1", "2", "3"])
    assert Headers(given.items()).entries() == given.items()
    seen: list[tuple[str, str]] = []
    given.forEach(lambda value, name: seen.append((name, value)))
    assert seen == [("a", "1"), ("a", "2")]


def test_a_value_that_http_does_not_allow_leaves_the_former_one() -> None:
    headers = Headers({"x": "1"})
    with pytest.raises(ValueError, match="control character"):
        headers["x"] = "a\nb"
    assert headers["x"] == "1"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("bad name", "x", "is no header name"), ("", "x", "is no header name"), ("x", "a\r\nb: c", "control character")],
)
def test_what_http_does_not_allow_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Headers({name: value})


def test_fields_that_are_made_later_are_made_once_and_when_one_is_asked_for() -> None:
    made: list[int] = []

    def make() -> list[tuple[str, str]]:
        made.append(1)
        return [("a", "1")]

    headers = Headers.later(make)
    assert not made
    assert headers["A"] == "1"
    headers.append("b", "2")
    assert Headers(headers).items() == [("a", "1"), ("b", "2")]
    assert made == [1]
    with pytest.raises(AttributeError, match="'Headers' object has no attribute 'gte'"):
        headers.gte  # type: ignore[attr-defined]  # noqa: B018
