"""Who becomes a child, who stays one, and what the root signs."""

import msgspec
import pytest

from littoral.core.errors import Conflict, Forbidden, InvalidInput, LittoralError, TooLarge, Unauthenticated
from littoral.security.enrolment import (
    ChildRecord,
    RenewRequest,
    SignAnswer,
    SignedRecord,
    SignRequest,
    authorise_enrolment,
    authorise_renewal,
    authorise_signing,
    child_record,
    enrol_request,
    renew_request,
)
from littoral.security.identity import NodeKey
from littoral.security.join import JoinToken, JoinTokenRecord, create_token, parse_token
from tests.support.tree import Tree


def token_for(tree: Tree, node: str) -> tuple[JoinToken, JoinTokenRecord]:
    text, record = create_token(
        node=node,
        parent="eu",
        join_url="https://eu:1",
        ca_fingerprint=tree.authority.fingerprint,
        ttl_ms=3_600_000,
        now_ms=tree.clock.wall_ms(),
        random=tree.random,
    )
    return parse_token(text), record


def renewal(
    tree: Tree, key: NodeKey, *, node: str = "plant-a", parent: str = "eu", certificate: bytes = b""
) -> RenewRequest:
    return renew_request(
        key,
        node=node,
        parent=parent,
        advertise=[],
        clock=tree.clock,
        random=tree.random,
        certificate_pem=certificate,
    )


def is_known(tree: Tree, request: RenewRequest, child: ChildRecord | None) -> bool:
    ca_pem, now_ms = tree.authority.certificate_pem, tree.clock.wall_ms()
    return authorise_renewal(request, child, parent="eu", ca_pem=ca_pem, now_ms=now_ms)


def test_a_node_enrols_with_its_token_and_is_registered_by_its_key() -> None:
    tree = Tree()
    key = tree.key()
    token, record = token_for(tree, "plant-a")
    request = enrol_request(key, token, ["plant-a.example"])
    used = authorise_enrolment(request, record, None, tree.clock.wall_ms())
    assert used.used_by == key.public_key
    answer = tree.certify(key, "plant-a", request.advertise)
    child = child_record(answer, node="plant-a", public_key=key.public_key)
    assert child.public_key == key.public_key
    assert child.not_after_ms == tree.clock.wall_ms() + 90 * 86_400_000
    assert not child.revoked


def test_messages_travel_as_msgpack() -> None:
    tree = Tree()
    request = renewal(tree, tree.key())
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=RenewRequest) == request


def test_a_bad_request_does_not_use_up_the_token() -> None:
    tree = Tree()
    token, record = token_for(tree, "plant-a")
    request = msgspec.structs.replace(enrol_request(tree.key(), token), csr_pem=tree.key().request("cloud"))
    with pytest.raises(Forbidden, match="its subject"):
        authorise_enrolment(request, record, None, tree.clock.wall_ms())
    assert record.used_by is None


def test_what_a_stranger_sends_is_not_parsed() -> None:
    tree = Tree()
    token, record = token_for(tree, "plant-a")
    request = msgspec.structs.replace(enrol_request(tree.key(), token), csr_pem=b"x" * 100_000)
    with pytest.raises(Unauthenticated, match="it is unknown here"):
        authorise_enrolment(request, None, None, tree.clock.wall_ms())
    with pytest.raises(TooLarge):
        authorise_enrolment(request, record, None, tree.clock.wall_ms())


def test_an_expelled_node_needs_a_token_made_after_that() -> None:
    tree = Tree()
    key = tree.key()
    token, record = token_for(tree, "plant-a")
    child = msgspec.structs.replace(tree.child("plant-a", key), revoked_ms=tree.clock.wall_ms())
    with pytest.raises(Forbidden, match="the node was expelled"):
        authorise_enrolment(enrol_request(key, token), record, child, tree.clock.wall_ms())
    tree.clock.advance(seconds=1)
    token, record = token_for(tree, "plant-a")
    assert authorise_enrolment(enrol_request(key, token), record, child, tree.clock.wall_ms()).used_by == key.public_key


def test_a_node_whose_certificate_expired_while_it_was_away_renews_by_its_key() -> None:
    tree = Tree()
    key = tree.key()
    child = tree.child("plant-a", key)
    tree.clock.advance(days=400)
    assert child.not_after_ms < tree.clock.wall_ms()
    request = renewal(tree, key)
    assert is_known(tree, request, child)
    answer = tree.certify(key, "plant-a")
    renewed = child_record(answer, node="plant-a", public_key=child.public_key)
    assert renewed.not_after_ms > tree.clock.wall_ms()
    assert renewed.serial != child.serial


def refused_renewals() -> dict[str, tuple[RenewRequest, ChildRecord | None, type[LittoralError], str]]:
    tree = Tree()
    key, other = tree.key(), tree.key()
    child = tree.child("plant-a", key)
    good = renewal(tree, key)
    revoked = msgspec.structs.replace(child, revoked_ms=1)
    early = Tree()
    early.clock.advance(seconds=-601)
    forged_csr = msgspec.structs.replace(good, csr_pem=other.request("plant-a"))
    unsigned = "the request is not signed by the key the node enrolled with"
    return {
        "unknown": (good, None, Unauthenticated, "it is no child of eu. Enrol it with a token"),
        "revoked": (good, revoked, Forbidden, "the node was expelled"),
        "other key": (renewal(tree, other), child, Unauthenticated, unsigned),
        "other name": (msgspec.structs.replace(good, node="plant-b"), child, Unauthenticated, unsigned),
        "other request put in": (forged_csr, child, Unauthenticated, unsigned),
        "more names put in": (msgspec.structs.replace(good, advertise=["cloud"]), child, Unauthenticated, unsigned),
        "nonce changed": (msgspec.structs.replace(good, nonce=b""), child, Unauthenticated, unsigned),
        "no signature": (msgspec.structs.replace(good, signature=b""), child, Unauthenticated, unsigned),
        "for another parent": (renewal(tree, key, parent="us"), child, Unauthenticated, unsigned),
        "clock behind": (renewal(early, key), child, Unauthenticated, "the clocks of plant-a and eu are 601 s apart"),
        "name of another node": (
            renewal(tree, key, node="cloud"),
            msgspec.structs.replace(child, node="cloud", public_key=other.public_key),
            Unauthenticated,
            unsigned,
        ),
    }


REFUSED = refused_renewals()


@pytest.mark.parametrize(("request_", "child", "error", "cause"), REFUSED.values(), ids=REFUSED)
def test_refused_renewals(request_, child, error: type[LittoralError], cause: str) -> None:
    with pytest.raises(error, match=cause):
        is_known(Tree(), request_, child)


def test_renewal_does_not_change_the_key() -> None:
    tree = Tree()
    key, new = tree.key(), tree.key()

    class Mixed(NodeKey):
        def request(self, node, advertise=()):
            return new.request(node, advertise)

    with pytest.raises(Forbidden, match="another key than it enrolled with"):
        is_known(tree, renewal(tree, Mixed(key.private_key)), tree.child("plant-a", key))


def test_who_is_forgotten_is_known_by_its_certificate_to_be_of_the_tree_also_by_another_key_than_before() -> None:
    tree = Tree()
    key = tree.key()
    request = renewal(tree, key, certificate=tree.certify(key, "plant-a").certificate_pem)
    tree.clock.advance(seconds=60)
    assert not is_known(tree, request, None)
    assert not is_known(tree, request, tree.child("plant-a", tree.key()))
    assert is_known(tree, request, tree.child("plant-a", key))


@pytest.mark.parametrize("whose", ["another node's", "another tree's", "another key's", "nobody's", "put in"])
def test_by_a_certificate_that_is_not_its_own_nobody_is_known(whose: str) -> None:
    tree, other = Tree(), Tree(seed=2)
    key = tree.key()
    own = tree.certify(key, "plant-a").certificate_pem
    shown = {
        "another node's": tree.certify(key, "plant-b").certificate_pem,
        "another tree's": other.certify(key, "plant-a").certificate_pem,
        "another key's": tree.certify(tree.key(), "plant-a").certificate_pem,
        "nobody's": b"none",
    }
    request = renewal(tree, key, certificate=shown.get(whose, b""))
    if whose == "put in":
        request = msgspec.structs.replace(request, certificate_pem=own)
    with pytest.raises(Unauthenticated, match="it is no child of eu. Enrol it with a token"):
        is_known(tree, request, None)


def test_an_expelled_node_does_not_come_in_by_another_key() -> None:
    tree = Tree()
    key = tree.key()
    request = renewal(tree, key, certificate=tree.certify(key, "plant-a").certificate_pem)
    revoked = msgspec.structs.replace(tree.child("plant-a", tree.key()), revoked_ms=1)
    with pytest.raises(Forbidden, match="the node was expelled"):
        is_known(tree, request, revoked)


KNOWN = {
    "eu": SignedRecord(node="eu", via="cloud", advertise=["eu.example", "10.0.0.1", "8.8.8.8"]),
    "plant-a": SignedRecord(node="plant-a", via="eu"),
}


def asked(node: str, *advertise: str) -> SignRequest:
    return SignRequest(node=node, csr_pem=b"", advertise=list(advertise))


def test_the_root_signs_for_its_children_and_through_them_for_theirs() -> None:
    assert authorise_signing(asked("eu"), via="cloud", root="cloud", known=KNOWN).via == "cloud"
    assert authorise_signing(asked("plant-a"), via="eu", root="cloud", known=KNOWN).via == "eu"
    new = authorise_signing(asked("plant-c", "Plant-C.example", "10.0.0.1"), via="us", root="cloud", known=KNOWN)
    assert new == SignedRecord(node="plant-c", via="us", advertise=["plant-c.example", "10.0.0.1"])


@pytest.mark.parametrize(
    ("request_", "via", "error", "cause"),
    [
        (asked("cloud"), "eu", Forbidden, "eu may not: the name belongs to cloud"),
        (asked("eu"), "eu", Forbidden, "eu may not: the name belongs to cloud"),
        (asked("us"), "us", Forbidden, "us may not"),
        (asked("plant-a"), "us", Forbidden, "us may not: the name belongs to eu"),
        (asked("plant-b", "cloud"), "eu", Conflict, 'another node has the name "cloud"'),
        (asked("plant-b", "PLANT-A"), "eu", Conflict, 'another node has the name "PLANT-A"'),
        (asked("plant-b", "eu.example"), "us", Conflict, "Remove it from spec.advertise of plant-b"),
        (asked("plant-b", "8.8.8.8"), "us", Conflict, 'another node has the name "8.8.8.8"'),
    ],
)
def test_a_branch_gets_no_certificate_in_the_name_of_another(request_, via, error, cause: str) -> None:
    with pytest.raises(error, match=cause):
        authorise_signing(request_, via=via, root="cloud", known=KNOWN)


CELL = SignedRecord(node="cell-1", via="eu", at="plant-a")


def test_who_is_forgotten_by_its_parent_is_let_in_where_and_by_the_key_it_was_before() -> None:
    request = SignRequest(node="cell-1", csr_pem=b"", at="plant-a", forgotten=True)
    signed = authorise_signing(request, via="eu", root="cloud", known={"cell-1": CELL}, moves=True, shown=True)
    assert signed == CELL


@pytest.mark.parametrize(
    ("known", "at", "shown"),
    [
        ({}, "plant-a", True),
        ({"cell-1": CELL}, "plant-b", True),
        ({"cell-1": CELL}, "plant-a", False),
        ({"cell-1": msgspec.structs.replace(CELL, at="")}, "", True),
    ],
    ids=["unknown", "elsewhere", "by another key", "nobody knows where"],
)
def test_who_is_forgotten_and_not_known_needs_a_token(known: dict[str, SignedRecord], at: str, shown: bool) -> None:
    request = SignRequest(node="cell-1", csr_pem=b"", at=at, forgotten=True)
    with pytest.raises(Unauthenticated, match="neither there nor at cloud. Enrol it with a token"):
        authorise_signing(request, via="eu", root="cloud", known=known, moves=True, shown=shown)


def test_a_parent_takes_only_the_certificate_it_asked_for() -> None:
    tree = Tree()
    key = tree.key()
    answer: SignAnswer = tree.certify(key, "plant-a")
    for node, public_key in (("plant-b", key.public_key), ("plant-a", tree.key().public_key)):
        with pytest.raises(InvalidInput, match="the root sent one for another node or key"):
            child_record(answer, node=node, public_key=public_key)
