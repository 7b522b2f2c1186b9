import asyncio
import json
from http import HTTPMethod

import pytest

from littoral.workers import BodyUsedError, Env, FormData, NotSupported, Request, fetch, platform
from littoral.workers.multipart import FormError
from littoral.workers.platform import Platform


def test_a_request_gives_its_body_in_every_shape() -> None:
    def request() -> Request:
        return Request("https://edge.test/a?x=1", method="POST", headers={"Content-Type": "x"}, body='{"a": 1}')

    async def scenario() -> None:
        assert await request().bytes() == b'{"a": 1}'
        assert await request().text() == '{"a": 1}'
        assert await request().json() == {"a": 1}
        assert (await request().buffer()).to_bytes() == b'{"a": 1}'
        blob = await request().blob()
        assert (await blob.text(), blob.content_type) == ('{"a": 1}', "x")
        body = request().body
        assert body is not None
        assert [chunk.to_bytes() async for chunk in body] == [b'{"a": 1}']
        assert await Request("https://edge.test/", method="PUT", body=b"\xff").text() == "\ufffd"
        with pytest.raises(json.JSONDecodeError):
            await Request("https://edge.test/", method="PUT", body=b"{").json()

    asyncio.run(scenario())


def test_a_body_is_read_once() -> None:
    async def scenario() -> None:
        request = Request.received("POST", "https://edge.test/", [], b"body", "id")
        clone = request.clone()
        assert not request.body_used
        assert await request.text() == "body"
        assert request.bodyUsed
        with pytest.raises(BodyUsedError, match="Body already used"):
            await request.bytes()
        with pytest.raises(BodyUsedError):
            request.clone()
        assert await clone.text() == "body"

    asyncio.run(scenario())


def test_a_request_without_a_body_has_none() -> None:
    async def scenario() -> None:
        request = Request.received("GET", "https://edge.test/", [], b"", "id")
        assert request.body is None
        assert (await request.text(), await request.text(), request.body_used) == ("", "", False)

    asyncio.run(scenario())


def test_the_query_is_decoded_and_the_path_is_not() -> None:
    request = Request("https://edge.test/a%20b?x=1&y=a+b&empty=&x=2")
    assert request.query == {"x": "2", "y": "a b", "empty": ""}
    assert request.path == "/a%20b"


def test_a_request_is_made_of_another() -> None:
    async def scenario() -> None:
        first = Request("https://edge.test/", method=HTTPMethod.POST, headers=[("a", "1"), ("a", "2")], body="text")
        second = Request(first, method="put", headers={"b": "1"})
        assert (second.method, second.headers.items(), await second.text()) == ("PUT", [("b", "1")], "text")
        assert first.headers.get_all("a") == ["1", "2"]
        with pytest.raises(TypeError, match="method GET cannot have a body"):
            Request("https://edge.test/", body="text")

    asyncio.run(scenario())


def test_a_form_that_is_none_is_refused() -> None:
    async def scenario() -> None:
        request = Request("https://edge.test/", method="POST", body=FormData({"a": "ö"}))
        assert (await request.form_data())["a"] == "ö"
        with pytest.raises(FormError, match="content type is 'text/plain;charset=UTF-8'"):
            await Request("https://edge.test/", method="POST", body="a=1").form_data()

    asyncio.run(scenario())


def test_fetch_says_that_there_is_nobody_to_ask() -> None:
    with pytest.raises(NotSupported, match=r"fetch\('https://other.test/'\) outside of a request is not supported"):
        asyncio.run(fetch("https://other.test/", method="POST", body="x"))


def test_what_the_gateway_tells_of_the_connection() -> None:
    headers = [("via", "1.1 front, 2 littoral"), ("littoral-tls", "TLSv1.3 TLS_AES_128_GCM_SHA256")]
    platform.install(Platform(node="edge-1"), Env({}))
    cf = Request.received("GET", "https://edge.test/", [*headers, ("littoral-country", "CH")], b"", "r-1").cf
    platform.install(Platform(), Env({}))
    assert (cf.httpProtocol, cf.tlsVersion, cf.tlsCipher) == ("HTTP/2", "TLSv1.3", "TLS_AES_128_GCM_SHA256")
    assert (cf["country"], cf.colo, cf.city, cf.get("asn")) == ("CH", "edge-1", None, None)
    assert Request("https://edge.test/").cf is None
    assert Request("https://edge.test/", cf={"cacheTtl": 5}).cf == {"cacheTtl": 5}
    place = ("littoral-place", '{"country":"CH","city":"Z\\u00fcrich","asn":64500}')
    cf = Request.received("GET", "https://edge.test/", [*headers, place, ("littoral-country", "CH")], b"", "r-1").cf
    assert (cf.country, cf.city, cf.asn, cf.timezone) == ("CH", "Zürich", 64500, None)
    plain = Request.received("GET", "http://edge.test/", [("via", "1.1 littoral")], b"", "r-1").cf
    assert (plain.httpProtocol, plain.tlsVersion, plain.country) == ("HTTP/1.1", None, None)
