import pytest

from littoral.workers import Response


def test_text_is_utf_8_unless_the_author_says_what_it_is() -> None:
    text = Response("größe")
    assert (text.status, text.body) == (200, "größe".encode())
    assert text.headers["content-type"] == "text/plain;charset=UTF-8"
    assert Response("<p>", headers={"Content-Type": "text/html"}).headers.get_all("content-type") == ["text/html"]


def test_bytes_and_nothing_have_no_type() -> None:
    assert Response(b"x").headers.keys() == []
    assert Response(None, status=204).body == b""
    assert Response(bytearray(b"x")).body == b"x"


def test_json() -> None:
    response = Response.json({"ö": 1}, status=201, headers={"x": "1"})
    assert (response.status, response.body) == (201, '{"ö":1}'.encode())
    assert response.headers.items() == [("x", "1"), ("content-type", "application/json")]


def test_redirects() -> None:
    response = Response.redirect("/there", 307)
    assert (response.status, response.headers["location"]) == (307, "/there")
    with pytest.raises(ValueError, match="200 is no redirect"):
        Response.redirect("/there", 200)


@pytest.mark.parametrize("status", [0, 101, 199, 600])
def test_a_status_that_is_no_final_one_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match="outside 200-599"):
        Response("x", status=status)


def test_another_type_of_body_is_refused() -> None:
    with pytest.raises(TypeError, match="not dict"):
        Response({"a": 1})  # type: ignore[arg-type]
