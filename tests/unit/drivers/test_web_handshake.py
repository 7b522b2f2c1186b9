"""Handshakes of TLS count as connections, and end in time; what follows them is served."""

import asyncio
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from littoral.core.gateway_limits import GATEWAY_CONNECTIONS, GATEWAY_HANDSHAKE_S
from littoral.core.limits import Limits
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.web_certificates import CertificateFiles, WebCertificates
from littoral.drivers.web_listener import WebListener
from tests.support.certificates import TestCa
from tests.support.origins import descriptors
from tests.support.web import WebClient, echo, until

MOST = 8


@pytest.fixture(scope="module")
def ca() -> TestCa:
    return TestCa("ca")


@asynccontextmanager
async def listening_tls(ca: TestCa, folder: Path, **limits: int) -> AsyncIterator[tuple[WebListener, tuple[str, int]]]:
    pair = ca.issue("h", names=("h",))
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    with listen_tcp("127.0.0.1:0") as listening:
        shown = WebCertificates([CertificateFiles(certificate, key)])
        values = {name.replace("_", "-"): value for name, value in limits.items()}
        listener = WebListener(listening.fileno(), echo, Limits(values), shown)
        await listener.start()
        try:
            yield listener, listening.getsockname()
        finally:
            await listener.stop(0)


async def ask(ca: TestCa, address: tuple[str, int]) -> str:
    """The head of an answer to a proper client."""
    context = ssl.create_default_context(cadata=ca.pem.decode())
    client = WebClient(*await asyncio.open_connection(*address, ssl=context, server_hostname="h"))
    client.get("/", "Connection: close")
    head = await client.head()
    client.leave()
    return head


def test_half_open_ones_have_the_bound_of_all_connections(ca: TestCa, tmp_path: Path):
    async def main() -> None:
        limits = {"gateway_connections": MOST, "gateway_handshake_seconds": 1}
        async with listening_tls(ca, tmp_path, **limits) as (listener, address):
            before = descriptors()
            clients = []
            for number in range(3 * MOST):
                client = WebClient(*await asyncio.open_connection(*address))
                # Some begin, and do not go on.
                client.write(b"\x16\x03\x01\x02\x00\x01\x00"[: number % 8])
                clients.append(client)
            await until(lambda: listener.refusals.get("connections") == 2 * MOST)
            assert listener.connections == MOST
            assert len(descriptors() - before) <= 3 * MOST + MOST
            assert listener._limits.reached[GATEWAY_CONNECTIONS.name] == 2 * MOST
            # Those that do not get on end, and then there is room.
            await until(lambda: listener.connections == 0)
            assert listener.refusals == {"connections": 2 * MOST, "late": MOST}
            assert listener._limits.reached[GATEWAY_HANDSHAKE_S.name] == MOST
            assert (await ask(ca, address)).startswith("HTTP/1.1 200")
            assert listener.accepted == 3 * MOST + 1
            for client in clients:
                client.leave()
            await until(lambda: descriptors() <= before)

    uvloop.run(main())


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"])
def test_who_gives_up_or_speaks_no_tls_leaves_room(ca: TestCa, tmp_path: Path, said: bytes):
    async def main() -> None:
        async with listening_tls(ca, tmp_path, gateway_connections=1) as (listener, address):
            client = WebClient(*await asyncio.open_connection(*address))
            await until(lambda: listener.connections == 1)
            client.write(said)
            if said.startswith(b"GET"):
                await client.rest()
            client.leave()
            await until(lambda: listener.connections == 0 and not listener._tasks)
            assert (await ask(ca, address)).startswith("HTTP/1.1 200")
            assert not listener.refusals

    uvloop.run(main())


def test_a_request_that_comes_with_the_last_of_the_handshake_is_answered(ca: TestCa, tmp_path: Path):
    async def main() -> None:
        async with listening_tls(ca, tmp_path) as (listener, address):
            came, out = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = ssl.create_default_context(cadata=ca.pem.decode())
            client = context.wrap_bio(came, out, server_hostname="h")
            reader, writer = await asyncio.open_connection(*address)
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(out.read())
                    came.write(await reader.read(65536))
            client.write(b"GET /early HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            writer.write(out.read())
            answer = b""
            while b"/early" not in answer:
                came.write(await reader.read(65536))
                try:
                    answer += client.read(65536)
                except ssl.SSLWantReadError:
                    continue
            assert answer.startswith(b"HTTP/1.1 200")
            assert listener.accepted == 1
            writer.close()

    uvloop.run(main())


def test_a_listener_that_stops_cuts_off_what_is_half_open(ca: TestCa, tmp_path: Path):
    async def main() -> None:
        async with listening_tls(ca, tmp_path) as (listener, address):
            client = WebClient(*await asyncio.open_connection(*address))
            await until(lambda: listener.connections == 1)
            assert not await listener.stop(0.05)
            assert await client.rest() == b""
            await until(lambda: listener.connections == 0)
            client.leave()


def test_who_connects_while_no_more_files_may_be_opened_is_served_later(ca: TestCa, tmp_path: Path):
    async def main() -> None:
        async with listening_tls(ca, tmp_path) as (listener, address):
            waiting = socket.socket()
            context = ssl.create_default_context(cadata=ca.pem.decode())
            most = resource.getrlimit(resource.RLIMIT_NOFILE)
            next_one = os.dup(0)
            os.close(next_one)
            resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, most[1]))
            try:
                waiting.connect(address)
                await until(lambda: listener._server._pause is not None)  # type: ignore[union-attr]
                assert listener.accepted == 0
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, most)
            waiting.setblocking(False)
            client = WebClient(*await asyncio.open_connection(sock=waiting, ssl=context, server_hostname="h"))
            client.get()
            assert (await client.answer())[0].startswith("HTTP/1.1 200")
            client.leave()

    uvloop.run(main())

    uvloop.run(main())
