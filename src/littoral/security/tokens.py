"""Node tokens: which node sent this request.

The mTLS listener lets nodes of the tree in, but does not say which one connected. So a node signs a token for each
request: a JWT (RFC 7519), ES256, in the spirit of DPoP (RFC 9449).

    iss  the node                    htm  the request's method
    aud  the node it calls           htu  the request's path, without query
    iat  when, seconds               jti  16 random bytes
    exp  60 seconds later

Rules for accepting one:

- The signature is by the key that this node's registry holds for `iss`, and that node is not expelled.
- `aud`, `htm` and `htu` are those of the request at hand; the token lives for at most 60 s, and now is within its
  life, give or take a leeway for clocks that differ.
- Each is accepted once. Tokens seen are remembered, per child, until they could not be accepted anyway; when a child's
  memory is full, its next requests are refused, because forgetting would let a replay through. The memory runs on
  the monotonic clock and is lost in a restart; what is left is TLS, which keeps tokens from whoever might replay them.
"""

import base64
from collections import deque
from collections.abc import Callable
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import Meta, Struct

from littoral.core.clock import Clock
from littoral.core.errors import Forbidden, LimitReached, Unauthenticated
from littoral.core.limits import CHILDREN, NODE_TOKEN_REPLAYS, Limits
from littoral.core.random import Random
from littoral.core.undecodable import UNDECODABLE
from littoral.security.enrolment import ChildRecord
from littoral.security.es256 import NoToken, Signed, is_signed_by, sign, take_apart
from littoral.security.identity import NodeKey

LIFETIME_S = 60
LEEWAY_S = 30
"""How far the clocks of two nodes may differ."""
TOKEN_CHARACTERS_MOST = 2048

_OPERATION = "accept node token"
_CLOCKS = "Check the clocks of both nodes (NTP)"


class Claims(Struct, frozen=True, kw_only=True):
    """The payload of a token."""

    iss: Annotated[str, Meta(max_length=63)]
    aud: str
    iat: int
    exp: int
    htm: str
    htu: str
    jti: Annotated[str, Meta(min_length=22, max_length=22)]


class TokenSigner:
    """Makes the tokens of one node."""

    def __init__(self, key: NodeKey, node: str, clock: Clock, random: Random) -> None:
        self._key = key.private_key
        self._node = node
        self._clock = clock
        self._random = random

    def sign(self, *, audience: str, method: str, path: str) -> str:
        """A token for one request to the node `audience`; `path` as in Request.path, without query."""
        now_s = self._clock.wall_ms() // 1000
        claims = Claims(
            iss=self._node,
            aud=audience,
            iat=now_s,
            exp=now_s + LIFETIME_S,
            htm=method,
            htu=path,
            jti=base64.urlsafe_b64encode(self._random.token_bytes(16)).rstrip(b"=").decode(),
        )
        return sign(self._key, msgspec.json.encode(claims))


class TokenVerifier:
    """Checks the tokens that a node's children show it."""

    def __init__(
        self,
        node: str,
        child: Callable[[str], ChildRecord | None],
        clock: Clock,
        limits: Limits,
        *,
        leeway_s: int = LEEWAY_S,
    ) -> None:
        """`child` finds a child by name in the registry; it is asked for every token, so it must be quick."""
        self._node = node
        self._child = child
        self._clock = clock
        self._limits = limits
        self._leeway_s = leeway_s
        self._callers: dict[str, _Caller] = {}

    def verify(self, token: str, *, method: str, path: str) -> str:
        """The name of the child that sent the request, by the rules above.

        Raises: Unauthenticated with the rule that was broken; Forbidden for an expelled child; LimitReached for a
        child that sends more than the node can remember.
        """
        signed = _parse(token)
        claims = _claims(signed)
        record = self._child(claims.iss)
        if record is None:
            remedy = f"Enrol it with a token: `littoral token create {claims.iss}`"
            raise Unauthenticated(_OPERATION, f"of {claims.iss}", f"it is no child of {self._node}", remedy)
        caller = self._caller(record)
        if not is_signed_by(caller.key, signed):
            cause = "it is not signed by the key the node enrolled with"
            remedy = f"If the node lost its key, enrol it again: `littoral token create {claims.iss}`"
            raise Unauthenticated(_OPERATION, f"of {claims.iss}", cause, remedy)
        if record.revoked:
            raise Forbidden(_OPERATION, f"of {claims.iss}", "the node was expelled (revoked)")
        self._check_request(claims, method, path)
        self._check_time(claims, self._clock.wall_ms() // 1000)
        self._check_first_time(claims, caller)
        return claims.iss

    def _caller(self, record: ChildRecord) -> "_Caller":
        caller = self._callers.get(record.node)
        if caller is not None and caller.public_key == record.public_key:
            return caller
        # New here, or enrolled again with a new key: then what was signed by the old one is worthless anyway.
        if len(self._callers) >= self._limits[CHILDREN]:
            self._callers = {name: caller for name, caller in self._callers.items() if self._child(name) is not None}
        caller = self._callers[record.node] = _Caller(record.public_key)
        return caller

    def _check_request(self, claims: Claims, method: str, path: str) -> None:
        wrong = ""
        if claims.aud != self._node:
            wrong = f"for the node {claims.aud[:63]}, not {self._node}"
        elif claims.htm != method:
            wrong = f"for {claims.htm[:16]}, not {method}"
        elif claims.htu != path:
            wrong = f"for the path {claims.htu[:120]}, not {path[:120]}"
        if wrong:
            raise Unauthenticated(_OPERATION, f"of {claims.iss}", f"it was made {wrong}")

    def _check_time(self, claims: Claims, now_s: int) -> None:
        if not 0 <= claims.exp - claims.iat <= LIFETIME_S:
            cause = f"it lives for {claims.exp - claims.iat} s; {LIFETIME_S} s are allowed"
            raise Unauthenticated(_OPERATION, f"of {claims.iss}", cause)
        if claims.iat > now_s + self._leeway_s:
            cause = f"it is dated {claims.iat - now_s} s in the future"
            raise Unauthenticated(_OPERATION, f"of {claims.iss}", cause, _CLOCKS)
        if now_s >= claims.exp + self._leeway_s:
            raise Unauthenticated(_OPERATION, f"of {claims.iss}", f"it expired {now_s - claims.exp} s ago", _CLOCKS)

    def _check_first_time(self, claims: Claims, caller: "_Caller") -> None:
        now_s = self._clock.monotonic_s()
        # The last moment at which a token dated as far ahead as is allowed can be accepted; one second for rounding.
        memory_s = LIFETIME_S + 2 * self._leeway_s + 1
        caller.forget(before_s=now_s - memory_s)
        if claims.jti in caller.seen:
            raise Unauthenticated(_OPERATION, f"of {claims.iss}", "it was shown before; each is good for one request")
        if len(caller.seen) >= self._limits[NODE_TOKEN_REPLAYS]:
            self._limits.hit(NODE_TOKEN_REPLAYS)
            cause = f"the node sent more than {self._limits[NODE_TOKEN_REPLAYS]} requests in {memory_s} s"
            remedy = f"Raise {NODE_TOKEN_REPLAYS.name} of {self._node} if it is meant to"
            raise LimitReached(_OPERATION, f"of {claims.iss}", cause, remedy)
        caller.remember(claims.jti, now_s)


class _Caller:
    """One child: its key, parsed once, and the tokens it has shown lately."""

    def __init__(self, public_key: bytes) -> None:
        self.public_key = public_key
        key = load_der_public_key(public_key)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.key = key
        self.seen: set[str] = set()
        self._order: deque[tuple[float, str]] = deque()

    def remember(self, jti: str, now_s: float) -> None:
        self.seen.add(jti)
        self._order.append((now_s, jti))

    def forget(self, *, before_s: float) -> None:
        """Forget what was shown before a moment of the monotonic clock."""
        while self._order and self._order[0][0] < before_s:
            self.seen.discard(self._order.popleft()[1])


def _parse(token: str) -> Signed:
    if len(token) > TOKEN_CHARACTERS_MOST:
        raise Unauthenticated(_OPERATION, "", f"it has {len(token)} characters; {TOKEN_CHARACTERS_MOST} are allowed")
    try:
        return take_apart(token)
    except NoToken as error:
        raise Unauthenticated(_OPERATION, "", "it is no signed JWT") from error


def _claims(signed: Signed) -> Claims:
    try:
        return msgspec.json.decode(signed.payload, type=Claims)
    except UNDECODABLE as error:
        raise Unauthenticated(_OPERATION, "", f"its claims are not those of a node token: {error}") from error
