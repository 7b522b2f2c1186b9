from pathlib import Path

import pytest

from littoral.core.resources.model import Parent
from littoral.node.gateway_config import GatewayConfig, IdentityFiles, ParentRelay
from littoral.node.relay_children import key_digest
from littoral.node.relay_desk import RelayDesk
from littoral.security.enrolment import ChildRecord

CHILD = ChildRecord(node="plant-a", public_key=b"key", serial="1", not_after_ms=1)


def completed(place: Parent | None, port: int = 0, *children: ChildRecord) -> GatewayConfig:
    parent = "cloud" if place is not None else None
    desk = RelayDesk("eu", Path("/data"), parent, place, lambda: port, lambda: children)
    return desk.complete(GatewayConfig(region="eu"))


@pytest.mark.parametrize(
    ("place", "port", "expected"),
    [
        (None, 0, None),
        (Parent(url="https://cloud.test:7001"), 0, None),
        (Parent(url="https://cloud.test:7001"), 7443, ParentRelay("cloud", "cloud.test", 7443)),
        (Parent(url="https://[::1]:7001"), 7443, ParentRelay("cloud", "::1", 7443)),
        (Parent(url="https://cloud.test", relay_url="https://cdn.test:1"), 7443, ParentRelay("cloud", "cdn.test", 1)),
        (Parent(url="https://cloud.test", relay_url="https://cdn.test"), 0, ParentRelay("cloud", "cdn.test", 443)),
    ],
    ids=["root", "no relay", "as it says", "IPv6", "as the document says", "port of https"],
)
def test_where_the_parent_is_asked(place: Parent | None, port: int, expected: ParentRelay | None) -> None:
    assert completed(place, port).parent == expected


def test_gateways_are_told_who_they_are_and_who_may_ask() -> None:
    config = completed(None, 0, CHILD)
    assert (config.node, config.region) == ("eu", "eu")
    paths = [f"/data/identity/{name}.pem" for name in ("ca", "cert", "key")]
    assert config.identity == IdentityFiles(*paths)
    assert config.children == {"plant-a": key_digest(b"key")}
