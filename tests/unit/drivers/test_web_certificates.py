"""TLS at the gateway: which certificate is shown, which version of HTTP goes on, and that certificates change in flight."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from cryptography import x509

from littoral.core.errors import StartupError
from littoral.core.gateway_limits import GATEWAY_HANDSHAKE_S
from littoral.core.limits import Limits
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.web_certificates import CertificateFiles, WebCertificates
from littoral.drivers.web_listener import WebListener
from tests.support.certificates import TestCa
from tests.support.web import WebClient, echo

CA = TestCa("ca")


def files(folder: Path, name: str, *names: str) -> CertificateFiles:
    return CertificateFiles(*CA.issue(name, names=names).write(folder, name))


@asynccontextmanager
async def served(certificates: WebCertificates, limits: Limits | None = None) -> AsyncIterator[tuple[str, int]]:
    with listen_tcp("127.0.0.1:0") as socket:
        listener = WebListener(socket.fileno(), echo, limits or Limits(), certificates)
        await listener.start()
        try:
            yield socket.getsockname()
        finally:
            await listener.stop(0)


def client_context(*protocols: str, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=CA.pem.decode())
    context.maximum_version = most
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def shown(address: tuple[str, int], asked: str | None) -> str:
    """The name of who is shown to one who asks for a name, or for none."""
    reader, writer = await asyncio.open_connection(*address, ssl=client_context(), server_hostname=asked or "127.0.0.1")
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        name = x509.load_der_x509_certificate(der).subject.rfc4514_string()
        client = WebClient(reader, writer)
        client.get()
        assert (await client.answer())[0].startswith("HTTP/1.1 200")
        return name.removeprefix("CN=")
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("one.example", "one"),
        ("ONE.example.", "one"),
        ("a.two.example", "two"),
        ("special.two.example", "three"),
        ("a.b.two.example", "one"),
        ("two.example", "one"),
        ("unknown.example", "one"),
        (None, "one"),
    ],
)
def test_who_asks_for_a_name_is_shown_its_certificate(tmp_path: Path, asked: str | None, name: str):
    async def main() -> None:
        three = [
            files(tmp_path, "one", "one.example"),
            files(tmp_path, "two", "*.Two.example"),
            files(tmp_path, "three", "special.two.example"),
        ]
        async with served(WebCertificates(three)) as address:
            assert await shown(address, asked) == name

    uvloop.run(main())


def test_certificates_change_while_connections_go_on(tmp_path: Path):
    async def main() -> None:
        certificates = WebCertificates([files(tmp_path, "old", "a.example")])
        async with served(certificates) as address:
            reader, writer = await asyncio.open_connection(*address, ssl=client_context(), server_hostname="a.example")
            client = WebClient(reader, writer)
            client.get()
            await client.answer()
            certificates.replace([files(tmp_path, "new", "a.example")])
            assert await shown(address, "a.example") == "new"
            assert await shown(address, None) == "new"
            missing = CertificateFiles(tmp_path / "none.pem", tmp_path / "none.key")
            with pytest.raises(StartupError, match="none.pem"):
                certificates.replace([missing])
            assert await shown(address, "a.example") == "new"
            client.get("/again")
            assert b"/again" in (await client.answer())[1]
            writer.close()

    uvloop.run(main())


@pytest.mark.parametrize(
    ("protocols", "chosen"),
    [(("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1"), ((), None), (("http/1.1", "h2"), "h2")],
)
def test_the_handshake_tells_which_version_of_http_is_spoken(
    tmp_path: Path, protocols: tuple[str, ...], chosen: str | None
):
    async def main() -> None:
        async with served(WebCertificates([files(tmp_path, "one")])) as address:
            context = client_context(*protocols)
            reader, writer = await asyncio.open_connection(*address, ssl=context, server_hostname="127.0.0.1")
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
            if chosen == "h2":
                async with asyncio.timeout(10):
                    assert (await reader.readexactly(4))[3] == 4, "it begins with its settings"
            else:
                writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                assert (await WebClient(reader, writer).answer())[0].startswith("HTTP/1.1 200")
            writer.close()

    uvloop.run(main())


@pytest.mark.parametrize(("minimum", "is_spoken"), [("tls1.2", True), ("tls1.3", False)])
def test_no_version_of_tls_below_the_lowest_is_spoken(tmp_path: Path, minimum, *, is_spoken: bool):
    async def main() -> None:
        async with served(WebCertificates([files(tmp_path, "one")], minimum)) as address:
            context = client_context(most=ssl.TLSVersion.TLSv1_2)
            if is_spoken:
                _, writer = await asyncio.open_connection(*address, ssl=context, server_hostname="h")
                writer.close()
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await asyncio.open_connection(*address, ssl=context, server_hostname="h")

    uvloop.run(main())


def test_sessions_are_taken_up_again(tmp_path: Path):
    def visit(address: tuple[str, int], session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        import socket  # noqa: PLC0415 -- the one test that needs a session object, which asyncio does not give

        with (
            socket.create_connection(address) as plain,
            context.wrap_socket(plain, server_hostname="h", session=session) as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            while tls.recv(4096):
                pass
            return tls.session, bool(tls.session_reused)

    async def main() -> None:
        certificates = WebCertificates([files(tmp_path, "one")])
        async with served(certificates) as address:
            session, was_reused = await asyncio.to_thread(visit, address, None)
            assert not was_reused
            certificates.replace([files(tmp_path, "two")])
            assert (await asyncio.to_thread(visit, address, session))[1]

    context = client_context()
    uvloop.run(main())


def test_who_does_not_get_on_with_the_handshake_is_hung_up(tmp_path: Path):
    async def main() -> None:
        limits = Limits({GATEWAY_HANDSHAKE_S.name: 1})
        async with served(WebCertificates([files(tmp_path, "one")]), limits) as address:
            reader, writer = await asyncio.open_connection(*address)
            assert await WebClient(reader, writer).rest() == b""
            writer.close()

    uvloop.run(main())


@pytest.mark.parametrize("wrong", ["missing", "text", "other key"])
def test_a_wrong_file_is_named(tmp_path: Path, wrong: str):
    one, two = files(tmp_path, "one"), files(tmp_path, "two")
    if wrong == "missing":
        one.key.unlink()
    elif wrong == "text":
        one.certificate.write_text("nothing")
    else:
        one = CertificateFiles(one.certificate, two.key)
    with pytest.raises(StartupError, match="one.pem"):
        WebCertificates([two, one])
    with pytest.raises(StartupError):
        WebCertificates([])
