"""What HTTP and TLS add to the bodies between neighbours: measured on real sockets, beside the estimate that counts it."""

from itertools import pairwise
from pathlib import Path

import uvloop

from littoral.core.http import AnyResponse, Request, Response
from littoral.core.limits import Limits
from littoral.drivers.clock import SystemClock
from littoral.drivers.http_server import HttpServer
from littoral.drivers.link import Target, WanLink
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.tls_files import TlsFiles
from littoral.drivers.transport import HttpTransport, Identity
from littoral.security.tokens import TokenSigner
from littoral.streams.bandwidth import CONNECTION_BYTES, REQUEST_BYTES
from littoral.wire import peer
from tests.support.certificates import TestCa
from tests.support.tree import Tree

REQUESTS = 50
BODY, ANSWER = b"b" * 20_000, b"a" * 300


async def answered(request: Request) -> AnyResponse:
    return Response(200, [("content-type", peer.MSGPACK)], ANSWER)


def test_the_estimate_of_what_http_and_tls_add_is_not_below_what_they_add(tmp_path: Path):
    ca, tree = TestCa("cloud"), Tree()
    faults: list[BaseException] = []
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(ca.pem)
    tls = TlsFiles(*ca.issue("parent").write(tmp_path, "parent"), client_ca=trusted)
    mine = ca.issue("plant-a-of-the-north")
    signer = TokenSigner(tree.key(), "plant-a-of-the-north", tree.clock, tree.random)

    async def main() -> list[int]:
        carried = [0]
        with listen_tcp("127.0.0.1:0") as listener:
            server = HttpServer(answered, listener.fileno(), Limits(), tls)
            await server.start()
            port = listener.getsockname()[1]
            link = WanLink("plant-a", [Target("peer", "127.0.0.1", port)], SystemClock(), Limits(), faults.append)
            await link.start()
            client = HttpTransport(Identity(ca.pem, mine.certificate, mine.key))
            url = f"https://127.0.0.1:{link.port('peer')}"
            for _ in range(REQUESTS):
                token = signer.sign(audience="region-of-europe", method="POST", path=peer.BATCHES)
                request = Request("POST", peer.BATCHES, headers={"authorization": f"Bearer {token}"}, body=BODY)
                assert (await client.request(url, request, 10)).body == ANSWER
                statistics = link.statistics()
                carried.append(statistics.bytes_up + statistics.bytes_down)
            await client.aclose()
            await link.stop()
            await server.stop()
        return carried

    carried = uvloop.run(main())
    assert faults == []
    first, *others = [after - before - len(BODY) - len(ANSWER) for before, after in pairwise(carried)]
    assert 0.8 * REQUEST_BYTES <= max(others) <= REQUEST_BYTES
    assert 0.8 * CONNECTION_BYTES <= first - others[0] <= CONNECTION_BYTES
