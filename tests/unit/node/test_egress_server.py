"""Requests of functions on their way out: what may be asked, what is sent, what comes back, and what ends it."""

import asyncio
import contextlib
import gzip
import json
import ssl
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, TextMessage
from wsproto.events import Request as WsRequest

from littoral.functions.egress_messages import ADMITTED, Ask, decode_head, encode, frame, read_frame
from littoral.functions.hub.bindings import Credentials
from littoral.functions.places import EGRESS
from littoral.node import egress_server
from littoral.workers import Request, fetch, js, platform
from littoral.workers.abort import AbortController, AbortSignal
from littoral.workers.failures import AbortError, FetchError, JsException
from littoral.workers.streams import ReadableStream
from tests.support.certificates import TestCa
from tests.support.egress import KEY, LOOPBACK, running_egress
from tests.support.left_behind import left_behind
from tests.support.origins import answer_all, answering, drive, origin

DEADLINE_S = 30


def url_of(it, path="/"):
    return f"{it.endpoint}{path}"


def run(main):
    async def timed():
        async with asyncio.timeout(DEADLINE_S):
            await main()

    drive(timed())


def saying(status="200 OK", *fields, body=b""):
    """A whole answer."""
    lines = "".join(f"{each}\r\n" for each in fields)
    return f"HTTP/1.1 {status}\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


def echoing(heads):
    """Keeps heads, and answers each with what its body was."""

    async def script(peer):
        while True:
            head = await peer.head()
            heads.append(head)
            length = next((int(line[16:]) for line in head.split("\r\n") if line.startswith("content-length: ")), None)
            if length is not None:
                body = await peer.reader.readexactly(length)
            elif "transfer-encoding: chunked" in head:
                body = b""
                while size := int(await peer.reader.readline(), 16):
                    body += (await peer.reader.readexactly(size + 2))[:-2]
                await peer.reader.readline()
            else:
                body = b""
            await peer.say(saying(body=body))

    return script


def fields_of(head):
    return dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)


def test_a_request_is_answered():
    async def main():
        async with running_egress(), origin(answering(saying("404 Not Found", "X-Two: 2", body=b"gone"))) as it:
            response = await fetch(url_of(it, "/a?b=c#d"))
            assert (response.status, response.status_text, await response.text()) == (404, "Not Found", "gone")
            assert response.headers["x-two"] == "2"
            assert response.url == url_of(it, "/a?b=c")
            assert not response.redirected
            assert not response.ok

    run(main)


def test_what_is_sent():
    heads: list[str] = []

    async def main():
        async with running_egress(), origin(echoing(heads)) as it:
            headers = {"X-One": "1", "Host": "elsewhere", "Connection": "x-secret", "X-Secret": "s", "TE": "trailers"}
            headers |= {"Content-Length": "999", "Transfer-Encoding": "chunked", "CDN-Loop": "none", "Upgrade": "h2c"}
            response = await fetch(url_of(it, "/a%20b?c"), method="post", headers=headers, body="what")
            assert await response.text() == "what"
            fields = fields_of(heads[0])
            assert heads[0].startswith("POST /a%20b?c HTTP/1.1\r\n")
            assert fields["host"] == f"127.0.0.1:{it.endpoint.port}"
            assert fields["content-length"] == "4"
            assert fields["x-one"] == "1"
            assert fields["accept-encoding"].startswith("gzip")
            unwanted = {"connection", "x-secret", "te", "transfer-encoding", "cdn-loop", "upgrade", "user-agent", "via"}
            assert not fields.keys() & unwanted

    run(main)


def test_connections_are_used_again():
    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            for _ in range(5):
                await (await fetch(url_of(it))).text()
            assert it.accepted == 1
            assert egress.server.connections == 1
            assert len(egress.server._lines) == 1
            assert egress.server.meters["shop"].requests == 5

    run(main)


def test_apps_do_not_share_connections():
    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            egress.configure(*LOOPBACK, apps=["shop", "other"])
            await fetch(url_of(it))
            egress.use(egress.client("other"))
            await fetch(url_of(it))
            assert it.accepted == 2

    run(main)


def test_bodies_are_streamed_both_ways():
    """Neither side has more under way than buffers hold, while the other does not take it."""
    sent = 0

    async def pieces():
        nonlocal sent
        for _ in range(1000):
            sent += 65_536
            yield b"x" * 65_536

    async def main():
        may_read = asyncio.Event()
        received = 0

        async def script(peer):
            nonlocal received
            assert "transfer-encoding: chunked" in await peer.head()
            await may_read.wait()
            await peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while data := await peer.reader.read(65_536):
                received += len(data)
                peer.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                await peer.writer.drain()
                if data.endswith(b"0\r\n\r\n"):
                    break
            await peer.say(b"0\r\n\r\n")

        async with running_egress(), origin(script) as it:
            asking = asyncio.ensure_future(fetch(url_of(it), method="PUT", body=pieces()))
            before = -1
            while before != sent or not sent:
                before = sent
                for _ in range(200):
                    await asyncio.sleep(0)
            assert sent < 20_000_000
            may_read.set()
            response = await asking
            got = 0
            async for piece in body_of(response):
                got += len(piece)
            assert got == received > 65_536_000 == sent

    run(main)


def test_a_large_body_that_is_whole_is_sent_with_its_length():
    heads: list[str] = []

    async def main():
        async with running_egress(), origin(echoing(heads)) as it:
            response = await fetch(url_of(it), method="POST", body=b"y" * 1_000_000)
            assert await response.bytes() == b"y" * 1_000_000
            assert fields_of(heads[0])["content-length"] == "1000000"

    run(main)


def test_a_body_that_fails_fails_the_request_with_its_own_error():
    async def main():
        begun, ended = asyncio.Event(), asyncio.Event()

        async def failing():
            yield b"begun"
            await begun.wait()
            raise LookupError("no more of it")

        async def script(peer):
            try:
                await peer.head()
                begun.set()
                while await peer.reader.read(100):
                    pass
            finally:
                ended.set()

        async with running_egress() as egress, origin(script, answer_all) as it:
            with pytest.raises(LookupError, match="no more of it"):
                await fetch(url_of(it), method="POST", body=failing())
            # The server sees a request that is broken off, and not a whole one.
            await ended.wait()
            assert (await fetch(url_of(it))).status == 200
            assert egress.server.under_way == 0

    run(main)


def test_an_answer_before_the_body_is_sent():
    async def endless():
        while True:
            yield b"z" * 10_000

    async def main():
        async def script(peer):
            await peer.head()
            await peer.say(saying("413 Too Large", "connection: close", body=b"enough"))

        async with running_egress() as egress, origin(script, answer_all) as it:
            response = await fetch(url_of(it), method="POST", body=endless())
            assert (response.status, await response.text()) == (413, "enough")
            assert (await fetch(url_of(it))).status == 200
            while egress.server.under_way:
                await asyncio.sleep(0)

    run(main)


def test_an_answer_that_is_not_read_is_given_up():
    async def main():
        gone = asyncio.Event()

        async def script(peer):
            await peer.head()
            await peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
            await peer.reader.read()
            gone.set()

        async with running_egress(), origin(script) as it:
            response = await fetch(url_of(it))
            pieces = aiter(body_of(response))
            assert await anext(pieces) == b"hello"
            del pieces, response
            await gone.wait()

    run(main)


def test_a_cancelled_request_is_given_up():
    async def main():
        asked, gone = asyncio.Event(), asyncio.Event()

        async def script(peer):
            await peer.head()
            asked.set()
            await peer.reader.read()
            gone.set()

        async with running_egress() as egress, origin(script) as it:
            asking = asyncio.ensure_future(fetch(url_of(it)))
            await asked.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await gone.wait()
            while egress.server.under_way:
                await asyncio.sleep(0)

    run(main)


def test_signals_give_up():
    async def main():
        asked = asyncio.Event()

        async def silent(peer):
            await peer.head()
            asked.set()
            await peer.reader.read()

        async def begun(peer):
            await peer.head()
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun")
            await peer.reader.read()

        async with running_egress(), origin(silent) as it, origin(begun) as other:
            controller = AbortController()
            asking = asyncio.ensure_future(fetch(url_of(it), signal=controller.signal))
            await asked.wait()
            controller.abort()
            with pytest.raises(AbortError):
                await asking
            with pytest.raises(AbortError) as late:
                await fetch(url_of(it), signal=AbortSignal.timeout(1))
            assert late.value.name == "TimeoutError"
            with pytest.raises(AbortError):
                await fetch(url_of(it), signal=AbortSignal.abort())
            controller = AbortController()
            pieces = aiter(body_of(await fetch(url_of(other), signal=controller.signal)))
            assert await anext(pieces) == b"begun"
            controller.abort(LookupError("why not"))
            with pytest.raises(LookupError, match="why not"):
                await anext(pieces)

    run(main)


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_what_is_compressed_is_taken_apart(size):
    text = b"all the same " * size

    async def main():
        answer = saying("200 OK", "content-encoding: gzip", body=gzip.compress(text))
        async with running_egress(), origin(answering(answer)) as it:
            response = await fetch(url_of(it))
            assert response.headers["content-encoding"] is None
            assert response.headers["content-length"] is None
            assert await response.bytes() == text

    run(main)


def test_head_and_304_have_no_body():
    async def main():
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-encoding: gzip\r\n\r\n"
        async with running_egress(), origin(answering(head, saying("304 Not Modified"))) as it:
            response = await fetch(url_of(it), method="HEAD")
            assert response.headers["content-length"] == "7"
            assert await response.bytes() == b""
            assert (await fetch(url_of(it))).status == 304

    run(main)


# Failures


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("ftp://a.example/", "ftp: is no protocol"),
        ("/relative", "no absolute URL"),
        ("http://", "no absolute URL"),
        ("http://me:secret@a.example/", "Authorization"),
        ("http://nowhere.example/", "cannot be resolved"),
    ],
)
def test_what_cannot_be_asked_says_why(url, cause):
    async def main():
        async with running_egress():
            with pytest.raises(FetchError, match=cause):
                await fetch(url)

    run(main)


def test_failures_are_type_errors_and_exceptions_of_javascript():
    async def main():
        async def script(peer):
            await peer.head()

        async with running_egress() as egress, origin(script) as it:
            with pytest.raises(TypeError, match="closed before a response came"):
                await fetch(url_of(it), method="POST")
            with pytest.raises(JsException, match="connection refused"):
                await fetch("http://127.0.0.1:1/")
            assert egress.server.meters["shop"].failed == 2

    run(main)


def test_a_body_that_breaks_off_is_no_whole_one():
    async def main():
        broken = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun"
        async with running_egress(), origin(answering(broken)) as it:
            response = await fetch(url_of(it))
            with pytest.raises(FetchError, match="in the middle of the response"):
                await response.text()

    run(main)


def test_a_server_that_does_not_answer_in_time():
    async def main():
        async def silent(peer):
            await peer.head()
            await peer.reader.read()

        async with running_egress() as egress, origin(silent) as it:
            egress.configure(*LOOPBACK, limits={"subrequest-idle-ms": 20})
            with pytest.raises(FetchError, match="in time"):
                await fetch(url_of(it))

    run(main)


def test_over_tls_who_answers_must_have_the_name(tmp_path, monkeypatch):
    ca = TestCa("ca")
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*ca.issue("shop", names=("shop.example",)).write(tmp_path, "shop"))

    async def main():
        names = {"shop_example": [LOOPBACK], "other_example": [LOOPBACK]}
        async with running_egress(**names), origin(answer_all, tls=tls) as it:
            assert (await fetch(f"https://shop.example:{it.endpoint.port}/")).status == 200
            with pytest.raises(FetchError, match="not trusted for other.example"):
                await fetch(f"https://other.example:{it.endpoint.port}/")

    run(main)


def test_without_a_credential_nothing_is_asked():
    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            for wrong in ("shop 0 00", "", "other 0 " + "0" * 64):
                egress.use(egress.client(credential=wrong, wait_s=0.2))
                with pytest.raises(FetchError):
                    await fetch(url_of(it))
            assert it.accepted == 0

    run(main)


# Rules


def test_private_addresses_are_refused_and_said_so():
    async def main():
        async with running_egress(db_example=[["10.0.0.9"]]) as egress, origin(answer_all) as it:
            egress.configure()
            with pytest.raises(FetchError, match=r"127.0.0.1, a loopback address, .* add \"127.0.0.1\""):
                await fetch(url_of(it))
            with pytest.raises(FetchError, match="10.0.0.9, a private address"):
                await fetch("http://db.example/")
            assert it.accepted == 0
            assert egress.server.meters["shop"].refused == 2
            assert egress.lines[0].startswith("egress: shop: [request-1] cannot fetch http://127.0.0.1:")

    run(main)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "0"])
def test_however_an_address_is_written(host):
    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            egress.configure()
            with pytest.raises(FetchError, match="spec.egress of the app does not list"):
                await fetch(f"http://{host}:{it.endpoint.port}/")
            assert it.accepted == 0

    run(main)


def test_a_name_that_says_something_else_the_next_time_leads_nowhere_else():
    """What is connected to is what was looked at: the name is looked up once, also where its first answer is refused."""

    async def main():
        names = {"evil_example": [["203.0.113.9", "10.0.0.1"], LOOPBACK]}
        async with running_egress(**names) as egress, origin(answer_all) as it:
            egress.configure()
            with pytest.raises(FetchError, match="203.0.113.9"):
                await fetch(f"http://evil.example:{it.endpoint.port}/")
            assert egress.looked_up == ["evil.example"]
            # Remembered names are looked at again under whatever rules there are now.
            egress.server._look_up._known.clear()
            with pytest.raises(FetchError, match="127.0.0.1"):
                await fetch(f"http://evil.example:{it.endpoint.port}/")
            egress.configure(*LOOPBACK)
            assert (await fetch(f"http://evil.example:{it.endpoint.port}/")).status == 200
            egress.configure()
            # Nor does a connection that is kept lead there.
            with pytest.raises(FetchError, match="127.0.0.1"):
                await fetch(f"http://evil.example:{it.endpoint.port}/")
            assert it.accepted == 1

    run(main)


def test_a_redirect_to_a_private_address_is_refused():
    async def main():
        moved = saying("302 Found", "location: http://169.254.169.254/latest/meta-data/")
        async with running_egress(), origin(answering(moved)) as it:
            with pytest.raises(FetchError, match="169.254.169.254, a link-local address"):
                await fetch(url_of(it))

    run(main)


def test_in_a_sandbox_a_name_that_is_not_listed_is_not_looked_up():
    async def main():
        async with running_egress(listed_example=[LOOPBACK]) as egress, origin(answer_all) as it:
            egress.configure("listed.example", *LOOPBACK, only_listed=True)
            with pytest.raises(FetchError, match="in a sandbox"):
                await fetch("http://secret-1234.evil.example/")
            assert egress.looked_up == []
            assert (await fetch(f"http://listed.example:{it.endpoint.port}/")).status == 200

    run(main)


def test_the_addresses_of_a_name_are_tried_in_turn():
    async def main():
        async with running_egress(shop_example=[["127.0.0.2", "127.0.0.1"]]) as egress, origin(answer_all) as it:
            egress.configure("127.0.0.0/8")
            assert (await fetch(f"http://shop.example:{it.endpoint.port}/")).status == 200

    run(main)


# Redirects


def test_redirects_are_followed():
    heads: list[str] = []

    async def main():
        async def script(peer):
            heads.append(await peer.head())
            await peer.say(saying("301 Moved", "location: ../c?d"))
            heads.append(await peer.head())
            await peer.say(saying(body=b"here"))

        async with running_egress(), origin(script) as it:
            response = await fetch(url_of(it, "/a/b#here"))
            assert (await response.text(), response.url, response.redirected) == ("here", url_of(it, "/c?d"), True)
            assert [head.split()[1] for head in heads] == ["/a/b", "/c?d"]

    run(main)


def test_another_server_is_not_told_what_was_for_the_first():
    heads: list[str] = []

    async def main():
        async def script(peer):
            await peer.head()
            await peer.say(saying("307 Elsewhere", f"location: {url_of(other, '/x')}"))

        async with running_egress(), origin(echoing(heads)) as other, origin(script) as it:
            headers = {"Authorization": "Bearer s", "Cookie": "a=b", "X-Kept": "1"}
            response = await fetch(url_of(it), method="POST", headers=headers, body="again")
            assert await response.text() == "again"
            fields = fields_of(heads[0])
            assert "authorization" not in fields
            assert "cookie" not in fields
            assert fields["x-kept"] == "1"

    run(main)


# Limits


def test_requests_per_request_are_bounded():
    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            egress.configure(*LOOPBACK, limits={"subrequests": 3})
            for _ in range(3):
                await fetch(url_of(it))
            with pytest.raises(FetchError, match="request 4 for one request of a client; the limit subrequests is 3"):
                await fetch(url_of(it))
            assert egress.server.limits.reached["subrequests"] == 1
            platform.current.set(Request("http://shop.test/", id="request-2"))
            assert (await fetch(url_of(it))).status == 200

    run(main)


def test_requests_at_once_wait_for_each_other():
    async def main():
        may_answer = asyncio.Event()
        most = 0

        async def script(peer):
            nonlocal most
            while True:
                await peer.head()
                most = max(most, egress.server.under_way)
                if egress.server.under_way == 6:
                    may_answer.set()
                await may_answer.wait()
                await peer.say(saying())

        async with running_egress() as egress, origin(script) as it:
            await asyncio.gather(*(fetch(url_of(it)) for _ in range(20)))
            assert most == 6
            assert egress.server.limits.reached["subrequests-at-once"] == 14

    run(main)


def test_who_reads_no_answer_is_told_why_no_other_is_asked():
    async def main():
        endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"

        async def script(peer):
            await peer.head()
            await peer.say(endless)
            await peer.reader.read()

        async with running_egress() as egress, origin(script) as it:
            egress.use(egress.client(at_once=2, wait_s=0.05))
            kept = [await fetch(url_of(it)) for _ in range(2)]
            with pytest.raises(FetchError, match="subrequests-at-once"):
                await fetch(url_of(it))
            await body_of(kept.pop()).cancel()
            assert (await fetch(url_of(it))).status == 200

    run(main)


def test_requests_of_an_app_are_bounded():
    async def main():
        asked = asyncio.Semaphore(0)

        async def silent(peer):
            await peer.head()
            asked.release()
            await peer.reader.read()

        async with running_egress() as egress, origin(silent) as it:
            egress.configure(*LOOPBACK, limits={"egress-requests": 2})
            waiting = [asyncio.ensure_future(fetch(url_of(it))) for _ in range(2)]
            for _ in waiting:
                await asked.acquire()
            with pytest.raises(FetchError, match="limit egress-requests"):
                await fetch(url_of(it))
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    run(main)


def test_bodies_are_bounded():
    async def main():
        announced = b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n"
        chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n258\r\n" + b"x" * 600 + b"\r\n"

        async def growing(peer):
            await peer.head()
            await peer.say(chunked, b"258\r\n" + b"x" * 600 + b"\r\n")
            await peer.reader.read()

        async def taking(peer):
            await peer.head()
            await peer.reader.read()

        async def pieces():
            for _ in range(11):
                yield b"x" * 100

        async with running_egress() as egress, origin(answering(announced), growing, taking) as it:
            egress.configure(*LOOPBACK, limits={"subrequest-body-bytes": 1000})
            with pytest.raises(FetchError, match="has 1001 bytes; the limit subrequest-body-bytes is 1000"):
                await fetch(url_of(it))
            response = await fetch(url_of(it))
            with pytest.raises(FetchError, match="larger than the limit subrequest-body-bytes, 1000"):
                await response.bytes()
            with pytest.raises(FetchError, match="larger than the limit subrequest-body-bytes, 1000"):
                await fetch(url_of(it), method="POST", body=pieces())
            assert egress.server.limits.reached["subrequest-body-bytes"] == 3

    run(main)


def test_connections_that_are_kept_are_bounded():
    async def main():
        async with running_egress() as egress, origin(answer_all) as one, origin(answer_all) as other:
            egress.configure(*LOOPBACK, limits={"egress-idle-connections": 1})
            await fetch(url_of(one))
            await fetch(url_of(other))
            while one.open:
                await asyncio.sleep(0)
            assert (one.open, other.open) == (0, 1)

    run(main)


def test_a_flood_of_refusals_is_one_line():
    async def main():
        async with running_egress() as egress:
            egress.configure()
            for _ in range(40):
                with pytest.raises(FetchError):
                    await fetch("http://10.0.0.1/")
            assert len(egress.lines) == 1
            assert egress.server.meters["shop"].refused == 40

    run(main)


def test_connections_of_workers_are_bounded():
    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            egress.configure(*LOOPBACK, limits={"egress-requests": 2})
            for _ in range(4):
                egress.use(egress.client())
                await fetch(url_of(it))
            egress.use(egress.client())
            with pytest.raises(FetchError, match="does not take this connection: .* the limit egress-requests"):
                await fetch(url_of(it))
            assert len(egress.server._lines) <= 5

    run(main)


def test_who_does_not_say_who_it_is_is_let_go(monkeypatch):
    monkeypatch.setattr(egress_server, "CREDENTIAL_S", 0.01)

    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            await fetch(url_of(it))
            reader, writer = await asyncio.open_unix_connection(egress.home / EGRESS)
            assert await reader.read() == b""
            writer.close()
            assert len(egress.server._lines) == 1

    run(main)


def test_what_a_worker_says_stays_within_its_line_of_the_log():
    async def main():
        async with running_egress() as egress:
            egress.configure()
            platform.current.set(Request("http://shop.test/", id="r-1] all is well\negress: other: [r-2"))
            with pytest.raises(FetchError):
                await fetch("ht\ntp://10.0.0.1/\n")
            assert len(egress.lines) == 1
            assert "\n" not in egress.lines[0]

    run(main)


def test_a_refusal_before_the_body_was_read_costs_the_next_request_nothing():
    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            for _ in range(20):
                with pytest.raises(FetchError, match="spec.egress"):
                    await fetch("http://10.0.0.1/", method="POST", body=b"x" * 150_000)
                platform.current.set(Request("http://shop.test/"))
                assert (await fetch(url_of(it))).status == 200
            assert egress.server.under_way == 0

    run(main)


@pytest.mark.parametrize(
    "more",
    [
        b"\0what is left of the body",
        encode(Ask("http://127.0.0.1/", "GET", [])),
        b"",
    ],
)
def test_what_comes_after_an_early_answer_is_no_request(more):
    async def main():
        async with running_egress() as egress, origin(answering(saying(body=b"early"), saying())) as it:
            reader, writer = await asyncio.open_unix_connection(egress.home / EGRESS)
            ask = Ask(url_of(it), "POST", [], follows=True)
            for each in (encode(Credentials(KEY).issue("shop", 0)), encode(ask), b"\0begun"):
                writer.write(frame(each))
            assert await read_frame(reader) == ADMITTED
            head = decode_head(await read_frame(reader))
            assert (head.status, head.body) == (200, b"early")
            writer.write(frame(more))
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            assert egress.server.meters["shop"].requests == 1

    run(main)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/a?key=secret", "http://secret:secret@10.0.0.1/a#secret", "//secret@?secret"]
)
def test_what_may_be_a_secret_in_a_url_is_in_no_error_and_no_log(url):
    async def main():
        async with running_egress() as egress:
            egress.configure()
            with pytest.raises(FetchError) as refused:
                await fetch(url)
            assert "cannot fetch" in str(refused.value)
            assert "secret" not in str(refused.value) + egress.lines[0]

    run(main)


def test_an_app_that_is_placed_no_more_asks_nothing():
    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            await fetch(url_of(it))
            egress.configure(apps=["other"])
            with pytest.raises(FetchError, match="not placed at this node any more"):
                await fetch(url_of(it))

    run(main)


def test_requests_go_on_after_the_egress_was_restarted():
    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            await fetch(url_of(it))
            await egress.server.stop()
            asking = asyncio.ensure_future(fetch(url_of(it)))
            await asyncio.sleep(0)
            await egress.restart()
            assert (await asking).status == 200

    run(main)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_process_that_is_being_ended_and_still_lets_in_is_nobody(method):
    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            await egress.server.stop()
            with left_behind(egress.home / EGRESS) as ended:
                asking = asyncio.ensure_future(fetch(url_of(it), method=method))
                await ended()
            await egress.restart()
            assert (await asking).status == 200
            assert egress.server.meters["shop"].requests == 1

    run(main)


def test_what_only_reads_is_asked_again_where_the_egress_ended_before(monkeypatch):
    async def main():
        async with running_egress() as egress, origin(answer_all) as it:
            for method, times in (("GET", 1), ("POST", 0)):
                await fetch(url_of(it))
                before = egress.server
                # It has ended, and the worker has not noticed: what is asked meets a closed connection.
                monkeypatch.setattr(before, "ask", lambda line, ask: line.close())
                await egress.restart()
                try:
                    if times:
                        assert (await fetch(url_of(it), method=method)).status == 200
                    else:
                        with pytest.raises(FetchError, match="has ended meanwhile"):
                            await fetch(url_of(it), method=method)
                    assert egress.server.meters["shop"].requests == times
                finally:
                    await before.stop()

    run(main)


def test_what_a_stream_was_read_of_is_not_sent():
    async def main():
        async with running_egress(), origin(answer_all) as it:
            stream = ReadableStream(b"read already")
            await stream.whole()
            with pytest.raises(OSError, match="already used"):
                await fetch(url_of(it), method="POST", body=stream)

    run(main)


# WebSockets


async def echo_socket(peer):
    """A server of WebSockets, by wsproto; says each message again, and with "bye" closes."""
    connection = WSConnection(ConnectionType.SERVER)
    while data := await peer.reader.read(65_536):
        connection.receive_data(data)
        for event in connection.events():
            if isinstance(event, WsRequest):
                chosen = event.subprotocols[0] if event.subprotocols else None
                peer.writer.write(connection.send(AcceptConnection(subprotocol=chosen)))
            elif isinstance(event, TextMessage) and event.data == "bye":
                peer.writer.write(connection.send(CloseConnection(code=3001, reason="said bye")))
            elif isinstance(event, (TextMessage, BytesMessage)):
                whole = event.message_finished
                kind: Any = type(event)
                peer.writer.write(connection.send(kind(data=event.data, message_finished=whole)))
            elif isinstance(event, CloseConnection):
                return


def body_of(response) -> Any:
    """As a stream."""
    return response.body


def opened(response) -> Any:
    """The function's end."""
    return response.web_socket


def test_a_websocket_is_opened_by_fetch():
    async def main():
        async with running_egress() as egress, origin(echo_socket) as it:
            response = await fetch(url_of(it, "/live"), headers={"Upgrade": "websocket", "Sec-WebSocket-Protocol": "a"})
            socket = opened(response)
            assert (response.status, socket.protocol) == (101, "a")
            socket.accept()
            socket.send("hello")
            assert (await socket.receive()).data == "hello"
            socket.send(b"x" * 500_000)
            assert (await socket.receive()).data == b"x" * 500_000
            socket.send("bye")
            closed = await socket.receive()
            assert (closed.code, closed.reason, closed.wasClean) == (3001, "said bye", True)
            while egress.server.under_way or it.open:
                await asyncio.sleep(0)

    run(main)


def test_a_websocket_is_opened_as_in_javascript():
    async def main():
        async with running_egress(), origin(echo_socket, answer_all) as it:
            url = url_of(it, "/").replace("http", "ws")
            said: list[Any] = []
            over = asyncio.Event()
            socket = js.WebSocket.new(url, "chat")
            socket.addEventListener("open", lambda event: socket.send("hello"))
            socket.addEventListener("message", lambda event: said.append(event.data))
            socket.addEventListener("message", lambda event: socket.send("bye"))
            socket.addEventListener("close", lambda event: said.append(event.code))
            socket.addEventListener("close", lambda event: over.set())
            await over.wait()
            assert said == ["hello", 3001]
            assert (socket.protocol, socket.readyState) == ("chat", js.WebSocket.CLOSED)
            failed = js.WebSocket.new(url)
            over.clear()
            failed.addEventListener("error", lambda event: said.append(event.message))
            failed.onclose = lambda event: over.set()
            await over.wait()
            assert "answers with status 200, and opens no WebSocket" in said[-1]

    run(main)


def test_a_websocket_that_is_forgotten_or_refused():
    async def main():
        liar = (
            b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: no\r\n\r\n"
        )
        refused = saying("403 Forbidden", body=b"not you")
        async with running_egress() as egress, origin(answering(refused), answering(liar), echo_socket) as it:
            upgrade = {"upgrade": "websocket"}
            response = await fetch(url_of(it), headers=upgrade)
            assert (response.status, response.web_socket, await response.text()) == (403, None, "not you")
            with pytest.raises(FetchError, match="handshake"):
                await fetch(url_of(it), headers=upgrade)
            socket = opened(await fetch(url_of(it), headers=upgrade))
            socket.accept()
            socket.close()
            while egress.server.under_way or it.open:
                await asyncio.sleep(0)

    run(main)


def test_json_is_read():
    async def main():
        async with running_egress(), origin(answering(saying(body=json.dumps({"a": [1]}).encode()))) as it:
            assert await (await fetch(url_of(it))).json() == {"a": [1]}

    run(main)
