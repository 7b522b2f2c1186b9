import pytest

from littoral.gateway.cookies import cookies_of, without_cookie


@pytest.mark.parametrize(
    ("fields", "cookies"),
    [
        ([("cookie", "a=1; b=2")], {"a": "1", "b": "2"}),
        ([("cookie", "a=1"), ("x", "y"), ("cookie", "b=2;c")], {"a": "1", "b": "2", "c": ""}),
        ([("cookie", "a=1; a=2")], {"a": "1"}),
        ([("cookie", "a=b=c")], {"a": "b=c"}),
        ([("x", "a=1")], {}),
    ],
)
def test_cookies_by_name(fields: list[tuple[str, str]], cookies: dict[str, str]) -> None:
    assert cookies_of(fields) == cookies


@pytest.mark.parametrize(
    ("cookies", "left"),
    [
        (["mark=1"], []),
        (["a=1; mark=2; b=3"], ["a=1; b=3"]),
        (["mark=1; a=1", "b=2", "mark=2"], ["a=1", "b=2"]),
        (["mark=1;mark=2;  c"], ["c"]),
        (["marks=1; x=mark"], ["marks=1; x=mark"]),
    ],
)
def test_one_is_taken_out_from_among_the_others(cookies: list[str], left: list[str]) -> None:
    fields = [("host", "a"), *(("cookie", value) for value in cookies), ("x", "mark=1")]
    assert without_cookie(fields, "mark") == [("host", "a"), *(("cookie", value) for value in left), ("x", "mark=1")]
