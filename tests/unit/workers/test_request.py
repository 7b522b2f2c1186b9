import asyncio
import json

import pytest

from littoral.workers import Request


def test_a_request_gives_its_body_in_three_shapes() -> None:
    async def scenario() -> None:
        request = Request("https://edge.test/a?x=1", method="POST", headers={"Content-Type": "x"}, body='{"a": 1}')
        assert await request.bytes() == b'{"a": 1}'
        assert await request.text() == '{"a": 1}'
        assert await request.json() == {"a": 1}
        assert request.headers["content-type"] == "x"
        assert await Request("https://edge.test/", body=b"\xff").text() == "\ufffd"
        with pytest.raises(json.JSONDecodeError):
            await Request("https://edge.test/", body=b"{").json()

    asyncio.run(scenario())


def test_the_query_is_decoded_and_the_path_is_not() -> None:
    request = Request("https://edge.test/a%20b?x=1&y=a+b&empty=&x=2")
    assert request.query == {"x": "2", "y": "a b", "empty": ""}
    assert request.path == "/a%20b"
