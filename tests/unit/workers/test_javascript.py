import asyncio
import json
from typing import Any

import pytest

from littoral.workers import NotSupported, Request, Response, js
from littoral.workers.pyodide import ffi, http


def name(what: str) -> Any:
    return getattr(js, what)


def test_a_name_that_is_not_there_says_which_are() -> None:
    with pytest.raises(
        js.UnknownName, match="js has no 'document' here.*There are: AbortController, .* console, crypto, .*"
    ):
        name("document")
    assert not hasattr(js, "__path_of_nothing__")
    for known in js.names():
        name(known)
    assert dir(js) == js.names()


def test_objects_are_dicts_with_attributes_all_the_way_down() -> None:
    made = ffi.to_js({"a": [{"b": 1}, (2, 3)], "c": b"\x01"}, dict_converter=name("Object").fromEntries)
    assert (made.a[0].b, made.a[1].length, made.c.to_bytes(), made["a"][0]["b"]) == (1, 2, b"\x01", 1)
    assert isinstance(made, ffi.JsProxy)
    assert made.to_py() == {"a": [{"b": 1}, [2, 3]], "c": b"\x01"}
    made.d = 4
    assert (made.d, made.object_keys(), ffi.to_js(5)) == (4, ["a", "c", "d"], 5)
    del made.d
    with pytest.raises(AttributeError, match="no 'd'; it has: a, c"):
        _ = made.d


def test_json() -> None:
    parsed = name("JSON").parse('{"a": [1, null, {"b": "ö"}]}')
    assert parsed.a[2].b == "ö"
    assert name("JSON").stringify(parsed) == '{"a":[1,null,{"b":"ö"}]}'
    assert json.loads(name("JSON").stringify(parsed, None, 2)) == parsed
    assert name("JSON").stringify({"headers": name("Headers").new({"a": "1"})}) == '{"headers":{}}'
    with pytest.raises(json.JSONDecodeError):
        name("JSON").parse("{")


def test_a_response_is_made_in_every_form() -> None:
    new = name("Response").new
    headers = name("Headers").new({"a": "1"}.items())
    for response in (
        new("x", headers=headers, status=201, statusText="Made"),
        new("x", {"status": 201, "statusText": "Made", "headers": {"a": "1"}}),
        new("x", ffi.to_js({"status": 201, "statusText": "Made", "headers": [["a", "1"]]})),
        new("x", Response(None, 201, "Made", {"a": "1"})),
    ):
        assert isinstance(response, Response)
        assert (response.status, response.statusText, response.headers["a"]) == (201, "Made", "1")
        response.headers.set("b", "2")
        assert response.headers.has("b")
    assert list(headers) == [("a", "1")]
    assert name("Response").json({"a": 1}, {"status": 202}).status == 202
    assert name("Response").json({"a": 1}, status=202, headers={"a": "1"}).headers["content-type"] == "application/json"
    assert name("Response").redirect("https://a.test/", 301).headers["location"] == "https://a.test/"
    with pytest.raises(TypeError, match="options are a mapping, not int"):
        new("x", 200)


def test_a_request_is_made_of_another() -> None:
    async def scenario() -> None:
        new = name("Request").new
        first = new(name("URL").new("https://a.test/"), method="POST", headers={"a": "1"}, body='{"n": {"m": 1}}')
        second = new("https://b.test/", first)
        assert (second.url, second.method, second.headers["a"]) == ("https://b.test/", "POST", "1")
        assert (await second.json()).n.m == 1
        third = new(first, {"method": "PUT"})
        assert (third.url, third.method, await third.text()) == ("https://a.test/", "PUT", '{"n": {"m": 1}}')

    asyncio.run(scenario())


def test_a_request_is_seen_in_both_ways_and_read_once() -> None:
    async def scenario() -> None:
        request = Request.received("POST", "https://a.test/", [("a", "1")], b"a=1&b=2", "id")
        request.headers.set("content-type", "application/x-www-form-urlencoded")
        seen = request.js_object
        pairs: list[Any] = list(seen.headers)
        assert pairs == [("a", "1"), ("content-type", "application/x-www-form-urlencoded")]
        assert list(request.headers) == ["a", "content-type"]
        fields: list[Any] = list(await seen.formData())
        assert fields == [("a", "1"), ("b", "2")]
        assert request.body_used
        assert seen.js_object is seen
        answer = Response.json({"a": {"b": 1}})
        assert (await answer.js_object.json()).a.b == 1
        assert answer.body_used

    asyncio.run(scenario())


def test_proxies_do_what_their_objects_do() -> None:
    async def work() -> int:
        return 5

    async def scenario() -> None:
        assert await ffi.create_proxy(work()) == 5
        assert await ffi.create_proxy(asyncio.get_running_loop().create_task(work())) == 5

    asyncio.run(scenario())
    proxy = ffi.create_once_callable(lambda x: x + 1)
    assert (proxy(1), proxy.copy()(2), proxy.unwrap()(3), proxy.__name__) == (2, 3, 4, "<lambda>")
    proxy.destroy()
    ffi.destroy_proxies(proxy)


def test_waiting_without_await_says_what_to_do() -> None:
    async def work() -> None: ...

    assert not ffi.can_run_sync()
    with pytest.raises(RuntimeError, match="use await"):
        ffi.run_sync(work())


def test_typed_arrays_are_bytes() -> None:
    array = name("Uint8Array").new([1, 2, 3])
    assert (array.to_bytes(), array.length, array.byteLength, array.buffer.slice(1).to_bytes()) == (
        b"\1\2\3",
        3,
        3,
        b"\2\3",
    )
    assert (name("Uint8Array").new(2), name("Uint8Array").new(b"x")) == (b"\0\0", b"x")
    assert asyncio.run(Response(ffi.to_js(b"png").buffer).bytes()) == b"png"


def test_text() -> None:
    assert name("TextEncoder").new().encode("ö").to_bytes() == b"\xc3\xb6"
    assert name("TextDecoder").new().decode(b"\xc3\xb6\xff") == "ö\ufffd"
    with pytest.raises(UnicodeDecodeError):
        name("TextDecoder").new("utf-8", {"fatal": True}).decode(b"\xff")
    assert (name("btoa")("ö"), name("atob")("9g==")) == ("9g==", "ö")
    assert name("encodeURIComponent")("a b&ö!") == "a%20b%26%C3%B6!"
    assert name("decodeURIComponent")("a%20b%26%C3%B6!") == "a b&ö!"
    assert len(name("crypto").randomUUID()) == 36


def test_dates() -> None:
    date = name("Date").new("2026-01-31T12:00:00Z")
    assert (date.toISOString(), date.getTime(), date.getFullYear()) == ("2026-01-31T12:00:00.000Z", 1769860800000, 2026)
    assert name("Date").new(0).toUTCString() == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert name("Date").new(date).toJSON() == str(date)
    assert name("Date").new().getTime() >= name("Date").new(0).getTime()
    assert name("performance").now() > 0


def test_timers() -> None:
    async def scenario() -> None:
        called: list[int] = []
        name("clearTimeout")(name("setTimeout")(called.append, 0, 1))
        name("setTimeout")(called.append, 0, 2)
        name("queueMicrotask")(lambda: called.append(3))
        while len(called) < 2:
            await asyncio.sleep(0)
        assert sorted(called) == [2, 3]

    asyncio.run(scenario())


def test_the_console_writes_lines(capsys: pytest.CaptureFixture[str]) -> None:
    name("console").log("a", 1, None, True, {"b": [1]})
    name("console").error("bad")
    written = capsys.readouterr()
    assert (written.out, written.err) == ('a 1 null true {\n  "b": [\n    1\n  ]\n}\n', "bad\n")


def test_blobs_and_files() -> None:
    blob = name("Blob").new(["a"], {"type": "text/css"})
    file = name("File").new([blob], "a.css", type="text/css", lastModified=7)
    assert (blob.type, file.name, file.type, file.lastModified, file.size) == ("text/css", "a.css", "text/css", 7, 1)
    form = name("FormData").new()
    form.append("file", file)
    assert [key for key, _ in form] == ["file"]


def test_what_cannot_be_made_says_so() -> None:
    with pytest.raises(NotSupported, match="HTMLRewriter is not supported yet"):
        name("HTMLRewriter").new()


def test_what_is_not_there_says_so_when_it_is_used() -> None:
    async def scenario() -> None:
        with pytest.raises(NotSupported, match="crypto.subtle"):
            _ = name("crypto").subtle
        with pytest.raises(NotSupported, match="fetch"):
            await name("fetch")("https://a.test/", {"method": "POST", "body": "x"})
        with pytest.raises(NotSupported, match="fetch"):
            await http.pyfetch("https://a.test/", method="GET", fetcher=None)

    asyncio.run(scenario())
