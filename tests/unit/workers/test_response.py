import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from littoral.workers import Blob, BodyUsedError, FormData, ReadableStream, Response, WebSocketPair
from littoral.workers.streams import BodyTooLarge


def test_text_is_utf_8_unless_the_author_says_what_it_is() -> None:
    text = Response("größe")
    assert (text.status, text.whole) == (200, "größe".encode())
    assert text.headers["content-type"] == "text/plain;charset=UTF-8"
    assert Response("<p>", headers={"Content-Type": "text/html"}).headers.get_all("content-type") == ["text/html"]


def test_bytes_and_nothing_have_no_type() -> None:
    assert Response(b"x").headers.keys() == []
    assert Response(None, status=204).body is None
    assert Response(None, status=204).whole == b""
    assert Response(bytearray(b"x")).whole == b"x"


def test_forms_and_blobs_bring_their_type() -> None:
    assert Response(Blob("x", "text/css")).headers["content-type"] == "text/css"
    assert (Response(FormData({"a": "1"})).headers["content-type"] or "").startswith("multipart/form-data; boundary=")


def test_json() -> None:
    response = Response.json({"ö": 1}, status=201, headers={"x": "1"})
    assert (response.status, response.whole) == (201, '{"ö":1}'.encode())
    assert response.headers.items() == [("x", "1"), ("content-type", "application/json")]
    assert asyncio.run(response.json()) == {"ö": 1}
    assert Response.from_json([1], HTTPStatus.NOT_FOUND).status == 404
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        Response.json({1, 2})


def test_redirects() -> None:
    response = Response.redirect("/there", 307)
    assert (response.status, response.headers["location"]) == (307, "/there")
    with pytest.raises(ValueError, match="200 is no redirect"):
        Response.redirect("/there", 200)


@pytest.mark.parametrize("status", [0, 199, 600])
def test_a_status_that_is_no_final_one_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match="outside 200-599"):
        Response("x", status=status)


def test_a_body_where_none_may_be_is_refused() -> None:
    with pytest.raises(TypeError, match="status 304 has no body"):
        Response("x", status=304)
    assert Response("", status=HTTPStatus.NO_CONTENT).status == 204


def test_a_response_with_a_web_socket_is_one_with_status_101() -> None:
    client, _ = WebSocketPair()
    with pytest.raises(ValueError, match="a response with status 101 has a WebSocket"):
        Response(None, 101)
    with pytest.raises(ValueError, match="a response with a WebSocket has status 101, not 200"):
        Response(None, 200, web_socket=client)
    with pytest.raises(TypeError, match="has no body"):
        Response("x", web_socket=client)
    given = Response(None, web_socket=client)
    assert (given.status, given.web_socket, given.webSocket) == (101, client, client)
    with pytest.raises(TypeError, match="cannot be cloned"):
        given.clone()


def test_another_type_of_body_is_refused() -> None:
    with pytest.raises(TypeError, match="not dict"):
        Response({"a": 1})  # type: ignore[arg-type]


async def numbers(made: list[int]) -> AsyncIterator[str]:
    for number in range(1000):
        made.append(number)
        yield f"{number:04}"


def test_a_stream_that_is_too_long_to_be_read_whole_is_left_at_that_point() -> None:
    made: list[int] = []

    async def scenario() -> None:
        with pytest.raises(BodyTooLarge, match="larger than the 10 bytes that are read whole"):
            await Response(ReadableStream(numbers(made), most_bytes=10)).bytes()
        assert len(await Response(ReadableStream(numbers([]), most_bytes=4000)).bytes()) == 4000
        with pytest.raises(BodyTooLarge):
            await Response(ReadableStream(numbers(made), length=11, most_bytes=10)).bytes()

    asyncio.run(scenario())
    assert made == [0, 1, 2]


def test_what_goes_out_is_a_stream_that_nobody_has_read() -> None:
    async def scenario() -> None:
        response = Response(numbers([]))
        assert len(b"".join([piece async for piece in response.outgoing()])) == 4000
        with pytest.raises(BodyUsedError):
            response.outgoing()

    asyncio.run(scenario())


def test_a_stream_is_read_once_and_its_clone_again() -> None:
    async def scenario() -> None:
        response = Response(numbers([]), 201, "Made", {"x": "1"})
        clone = response.clone()
        assert len(await response.bytes()) == 4000
        assert response.body_used
        assert (await clone.text())[:8] == "00000001"
        assert (clone.status, clone.status_text, clone.headers["x"]) == (201, "Made", "1")
        with pytest.raises(BodyUsedError):
            await response.text()
        with pytest.raises(BodyUsedError):
            response.clone()

    asyncio.run(scenario())


def test_a_body_passes_from_one_response_to_another() -> None:
    async def scenario() -> None:
        first = Response("text", headers={"x": "1"})
        second = Response(first.body, status=500, headers=first.headers)
        second.headers["x"] = "2"
        assert (await second.text(), first.headers["x"]) == ("text", "1")
        assert first.body_used
        assert await Response("a", status=201).replace_body("b").text() == "b"

    asyncio.run(scenario())
