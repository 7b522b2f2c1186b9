"""Node tokens: accepted once, by the node they are for, for the request they are for."""

import base64
import hmac

import msgspec
import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from littoral.core.errors import Forbidden, LimitReached, Unauthenticated
from littoral.core.limits import Limits
from littoral.security.enrolment import ChildRecord
from littoral.security.tokens import TokenSigner, TokenVerifier
from tests.support.tree import Tree


class Pair:
    """plant-a, and its parent eu."""

    def __init__(self, limits: dict[str, int] | None = None) -> None:
        self.tree = Tree()
        self.clock = self.tree.clock
        self.key = self.tree.key()
        self.signer = TokenSigner(self.key, "plant-a", self.clock, self.tree.random)
        self.children: dict[str, ChildRecord] = {"plant-a": self.tree.child("plant-a", self.key)}
        self.limits = Limits(limits)
        self.verifier = TokenVerifier("eu", self.children.get, self.clock, self.limits)

    def token(self, *, audience: str = "eu", method: str = "POST", path: str = "/peer/batches") -> str:
        return self.signer.sign(audience=audience, method=method, path=path)

    def verify(self, token: str) -> str:
        return self.verifier.verify(token, method="POST", path="/peer/batches")

    def forge(self, **changes: object) -> str:
        """A token signed by the right key that says something else."""
        now_s = self.clock.wall_ms() // 1000
        claims: dict[str, object] = {"iss": "plant-a", "aud": "eu", "iat": now_s, "exp": now_s + 60, "htm": "POST"}
        claims |= {"htu": "/peer/batches", "jti": "x" * 22} | changes
        key = ECKey.import_key(self.key.pem)
        return jws.serialize_compact({"alg": "ES256"}, msgspec.json.encode(claims), key, algorithms=["ES256"])


def test_a_token_names_the_node_that_sent_the_request() -> None:
    pair = Pair()
    assert pair.verify(pair.token()) == "plant-a"
    assert pair.verify(pair.token()) == "plant-a"


def test_a_token_is_good_for_one_request() -> None:
    pair = Pair()
    token = pair.token()
    pair.verify(token)
    with pytest.raises(Unauthenticated, match="it was shown before"):
        pair.verify(token)


def test_a_replay_is_refused_as_long_as_the_token_could_be_accepted() -> None:
    pair = Pair()
    pair.clock.advance(seconds=30)
    token = pair.token()
    pair.clock.advance(seconds=-30)
    assert pair.verify(token) == "plant-a"
    for _ in range(12):
        pair.clock.advance(seconds=10)
        with pytest.raises(Unauthenticated, match="shown before|expired"):
            pair.verify(token)
        assert pair.verify(pair.token()) == "plant-a"


def test_setting_the_clock_back_does_not_let_a_replay_through() -> None:
    pair = Pair()
    token, wall_ms = pair.token(), pair.clock.wall_ms()
    pair.verify(token)
    pair.clock.set_wall(wall_ms + 86_400_000)
    pair.verify(pair.token())
    pair.clock.set_wall(wall_ms)
    with pytest.raises(Unauthenticated, match="it was shown before"):
        pair.verify(token)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"audience": "cloud"}, "it was made for the node cloud, not eu"),
        ({"method": "GET"}, "it was made for GET, not POST"),
        ({"path": "/peer/tails"}, "it was made for the path /peer/tails, not /peer/batches"),
    ],
)
def test_a_token_for_another_request_is_refused(changes, cause: str) -> None:
    pair = Pair()
    with pytest.raises(Unauthenticated, match=cause):
        pair.verify(pair.token(**changes))


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(0, True), (89, True), (90, False), (1000, False), (-30, True), (-31, False)]
)
def test_a_token_lives_for_a_minute_give_or_take_the_leeway(seconds: int, accepted: bool) -> None:
    pair = Pair()
    token = pair.token()
    pair.clock.advance(seconds=seconds)
    if accepted:
        assert pair.verify(token) == "plant-a"
        return
    with pytest.raises(Unauthenticated, match=r"expired|in the future") as raised:
        pair.verify(token)
    assert raised.value.remedy == "Check the clocks of both nodes (NTP)"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"exp": 4_000_000_000}, "it lives for"),
        ({"iat": 0, "exp": 60}, "it expired"),
        ({"exp": 0}, "it lives for"),
        ({"jti": ""}, "its claims are not those of a node token"),
        ({"aud": ["eu"]}, "its claims are not those of a node token"),
        ({"iss": "eu"}, "it is no child of eu. Enrol it with a token"),
    ],
)
def test_a_child_cannot_stretch_its_tokens(changes, cause: str) -> None:
    pair = Pair()
    with pytest.raises(Unauthenticated, match=cause):
        pair.verify(pair.forge(**changes))


def test_a_node_cannot_speak_for_another() -> None:
    pair = Pair()
    pair.children["plant-b"] = pair.tree.child("plant-b", pair.tree.key())
    with pytest.raises(Unauthenticated, match="it is not signed by the key the node enrolled with"):
        pair.verify(pair.forge(iss="plant-b"))


def test_an_expelled_node_is_refused_at_once() -> None:
    pair = Pair()
    pair.verify(pair.token())
    pair.children["plant-a"] = msgspec.structs.replace(pair.children["plant-a"], revoked_ms=1)
    with pytest.raises(Forbidden, match="the node was expelled"):
        pair.verify(pair.token())


def test_after_a_new_enrolment_only_the_new_key_counts() -> None:
    pair = Pair()
    pair.verify(pair.token())
    key = pair.tree.key()
    pair.children["plant-a"] = pair.tree.child("plant-a", key)
    with pytest.raises(Unauthenticated, match="it is not signed by the key"):
        pair.verify(pair.token())
    signer = TokenSigner(key, "plant-a", pair.clock, pair.tree.random)
    assert pair.verify(signer.sign(audience="eu", method="POST", path="/peer/batches")) == "plant-a"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_other_algorithms_are_refused_also_the_public_key_taken_for_a_shared_secret() -> None:
    pair = Pair()
    payload = pair.token().split(".")[1]
    unsigned = ".".join([base64url(b'{"alg":"none"}'), payload, ""])
    head = ".".join([base64url(b'{"alg":"HS256"}'), payload])
    shared = f"{head}.{base64url(hmac.digest(pair.key.public_key, head.encode(), 'sha256'))}"
    for token in (unsigned, shared):
        with pytest.raises(Unauthenticated, match="it is not signed by the key|no signed JWT"):
            pair.verify(token)


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "..", "é.é.é", "a" * 5000, "eyJhbGciOiJFUzI1NiJ9.e30.AA", "\ud800"]
)
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(Unauthenticated):
        Pair().verify(token)


def test_a_damaged_signature_is_refused() -> None:
    pair = Pair()
    token = pair.token()
    head, _, signature = token.rpartition(".")
    for damaged in (signature[:-4], "A" + signature[1:] if signature[0] != "A" else "B" + signature[1:], ""):
        with pytest.raises(Unauthenticated):
            pair.verify(f"{head}.{damaged}")


def test_a_child_that_sends_more_than_can_be_remembered_is_refused_until_it_slows_down() -> None:
    pair = Pair({"node-token-replays": 3})
    for _ in range(3):
        pair.verify(pair.token())
    with pytest.raises(
        LimitReached, match="the node sent more than 3 requests in 121 s. Raise node-token-replays of eu"
    ):
        pair.verify(pair.token())
    assert pair.limits.reached["node-token-replays"] == 1
    pair.clock.advance(seconds=122)
    assert pair.verify(pair.token()) == "plant-a"


def test_children_that_were_removed_are_forgotten() -> None:
    pair = Pair({"children": 1})
    pair.verify(pair.token())
    key = pair.tree.key()
    pair.children.clear()
    pair.children["plant-b"] = pair.tree.child("plant-b", key)
    token = TokenSigner(key, "plant-b", pair.clock, pair.tree.random).sign(
        audience="eu", method="POST", path="/peer/batches"
    )
    assert pair.verify(token) == "plant-b"
    assert list(pair.verifier._callers) == ["plant-b"]
