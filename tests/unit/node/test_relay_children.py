from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from littoral.gateway.exchange import Later
from littoral.node.relay_children import RelayChildren, key_digest
from littoral.security.identity import Identity
from littoral.testing.loop import run
from littoral.wire.relay import PurgesKnown, RelayRequest, encode_request
from tests.support.certificates import TestCa
from tests.support.exchanges import MemoryAnswer, MemoryExchange, MemoryOrigin
from tests.support.tiers import ROUTE, Tier
from tests.support.tree import Tree

ASKED = [("littoral-relay", encode_request(RelayRequest(ROUTE, PurgesKnown()))), ("x-forwarded-proto", "http")]


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


async def asked(children: RelayChildren, certificate: bytes) -> int:
    exchange = MemoryExchange(fields=ASKED)
    pending = children.serve_of(certificate)(exchange)
    assert not isinstance(pending, Later)
    if pending is not None:
        await pending
    return exchange.status


def region() -> tuple[Tier, RelayChildren]:
    tier = Tier("region", MemoryOrigin(MemoryAnswer(200, [], b"hello")))
    return tier, RelayChildren(tier.relay)


def known(*identities: Identity) -> dict[str, bytes]:
    return {each.node: key_digest(each.key.public_key) for each in identities}


def test_children_are_answered_until_they_are_expelled() -> None:
    run(_children_are_answered_until_they_are_expelled)


async def _children_are_answered_until_they_are_expelled() -> None:
    tree = Tree()
    site, other = tree.identity("site"), tree.identity("other")
    tier, children = region()
    children.known = known(site, other)
    certificate = der(site.certificate_pem)
    exchange = MemoryExchange(fields=ASKED)
    serve = children.serve_of(certificate)
    pending = serve(exchange)
    assert pending is not None
    assert not isinstance(pending, Later)
    await pending
    assert exchange.status == 200
    children.known = known(other)
    late = MemoryExchange(fields=ASKED)
    assert serve(late) is None, "also on a connection that there was before"
    assert late.status == 403
    assert b"littoral token create site" in late.sent
    assert tier.gateway.meters.relay.refused == 1


def test_it_is_the_key_that_counts_and_not_the_name() -> None:
    run(_it_is_the_key_that_counts_and_not_the_name)


async def _it_is_the_key_that_counts_and_not_the_name() -> None:
    tree = Tree()
    _, children = region()
    before, now = tree.identity("site"), tree.identity("site")
    children.known = known(now)
    assert await asked(children, der(before.certificate_pem)) == 403
    assert await asked(children, der(now.certificate_pem)) == 200
    assert await asked(children, der(tree.identity("site", now.key).certificate_pem)) == 200, "renewed"
    assert await asked(children, der(TestCa("x").issue("site").certificate)) == 403, "of no node"
