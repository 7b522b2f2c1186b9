"""Connections between gateways of two nodes: both sides show certificates of the tree."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from cryptography import x509

from littoral.core.errors import StartupError
from littoral.core.limits import Limits
from littoral.drivers.clock import SystemClock
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.origin_transport import HttpOriginTransport
from littoral.drivers.peer_certificates import PeerCertificates, PeerFiles
from littoral.drivers.web_listener import WebListener
from littoral.gateway.exchange import Exchange, Serve
from littoral.gateway.origins.transport import Endpoint, OriginFailed, OriginRequest, OriginTimeouts
from littoral.security.ca import CertificateAuthority, node_of
from tests.support.certificates import TestCa
from tests.support.tree import Tree
from tests.support.web import PLAIN

GET = OriginRequest("GET", "/", (("host", "edge.test"),))
TIMEOUTS = OriginTimeouts(connect_s=5, head_s=5, idle_s=5)


class Certified:
    """A tree whose certificates are good today, and files of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begin(1)

    def begin(self, seed: int) -> None:
        """With a CA of its own."""
        self.tree = Tree(seed)
        self.tree.clock.set_wall(SystemClock().wall_ms())
        self.tree.authority = CertificateAuthority.create("cloud", self.tree.clock, self.tree.random)

    def files(self, node: str) -> PeerFiles:
        """Its identity, anew."""
        identity = self.tree.identity(node)
        paths = [self.folder / f"{node}-{kind}.pem" for kind in ("ca", "cert", "key")]
        for path, pem in zip(paths, (identity.ca_pem, identity.certificate_pem, identity.key.pem), strict=True):
            path.write_bytes(pem)
        return PeerFiles(*map(str, paths))

    def damage(self, node: str) -> None:
        """Its certificate."""
        (self.folder / f"{node}-cert.pem").write_bytes(b"half of it")


def names_of(certificate: bytes | None) -> Serve:
    """Answers with the name of the node that asks."""
    node = node_of(x509.load_der_x509_certificate(certificate)) if certificate else None

    def serve(exchange: Exchange) -> None:
        exchange.respond(200, PLAIN, (), (node or "nobody").encode())

    return serve


def nobody(exchange: Exchange) -> None:
    """Whoever asks has shown a certificate."""
    raise AssertionError(exchange)


@asynccontextmanager
async def relay(files: PeerFiles) -> AsyncIterator[tuple[int, HttpOriginTransport]]:
    """A listener for children, and what they ask by."""
    with listen_tcp("127.0.0.1:0") as listening:
        certificates = PeerCertificates(files)
        listener = WebListener(listening.fileno(), nobody, Limits(), certificates, serve_of=names_of)
        await listener.start()
        transport = HttpOriginTransport()
        try:
            yield listening.getsockname()[1], transport
        finally:
            await transport.aclose()
            await listener.stop(0)


def endpoint(port: int, files: PeerFiles, name: str = "region") -> Endpoint:
    return Endpoint("https", "127.0.0.1", port, name, files.ca, files.certificate, files.key)


async def asked(transport: HttpOriginTransport, where: Endpoint) -> str:
    """What is answered; or at which stage nothing is."""
    try:
        answer = await transport.send(where, GET, TIMEOUTS)
    except OriginFailed as failure:
        return failure.stage
    body = answer.whole if answer.whole is not None else await answer.read()
    answer.close()
    return body.decode()


def play(folder: Path, story: Callable[[Certified], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await story(Certified(folder))

    uvloop.run(main())


def test_each_is_served_as_the_node_whose_certificate_it_shows(tmp_path: Path) -> None:
    async def story(it: Certified) -> None:
        async with relay(it.files("region")) as (port, transport):
            assert await asked(transport, endpoint(port, it.files("site-a"))) == "site-a"
            assert await asked(transport, endpoint(port, it.files("site-b"))) == "site-b"
            assert (transport.meter.opened, transport.meter.reused) == (2, 0)
            assert await asked(transport, endpoint(port, it.files("site-b"))) == "site-b"
            assert (transport.meter.opened, transport.meter.reused) == (2, 1)

    play(tmp_path, story)


def test_who_is_not_of_the_tree_is_not_served(tmp_path: Path) -> None:
    async def story(it: Certified) -> None:
        async with relay(it.files("region")) as (port, transport):
            site = it.files("site")
            certificate, key = TestCa("elsewhere").issue("site").write(tmp_path, "stranger")
            stranger = Endpoint("https", "127.0.0.1", port, "region", site.ca, str(certificate), str(key))
            assert await asked(transport, stranger) in {"head", "send", "connect"}
            without = Endpoint("https", "127.0.0.1", port, "region", site.ca)
            assert await asked(transport, without) in {"head", "send", "connect"}
            assert await asked(transport, endpoint(port, site, "cloud")) == "connect", "which is not whom it wants"

    play(tmp_path, story)


def test_a_certificate_that_is_renewed_is_shown_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    async def story(it: Certified) -> None:
        files = it.files("region")
        async with relay(files) as (port, transport):
            site = it.files("site")
            assert await asked(transport, endpoint(port, site)) == "site"
            it.damage("region")
            assert await asked(transport, endpoint(port, it.files("other"))) == "other"
            it.begin(2)
            os.utime(it.files("region").ca, ns=(0, 1))
            assert await asked(transport, endpoint(port, it.files("site-of-another-ca"))) == "site-of-another-ca"

    play(tmp_path, story)


def test_without_its_identity_there_is_no_listener(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"cannot load TLS files .*/nowhere.pem"):
        PeerCertificates(PeerFiles("/nowhere.pem", "/nowhere.pem", "/nowhere.pem"))
