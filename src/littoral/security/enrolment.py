"""Enrolment and renewal: messages between child, parent and root, and who may have what.

    child                          parent                              root
      │ EnrolRequest (token, CSR)    │                                   │
      ├─────────────────────────────►│ authorise_enrolment               │
      │ RenewRequest (CSR, signed)   │                                   │
      ├─────────────────────────────►│ authorise_renewal                 │
      │                              │ SignRequest                       │
      │                              ├──────────────────────────────────►│ authorise_signing, CertificateAuthority.sign
      │                              │                        SignAnswer │
      │                              │◄──────────────────────────────────┤
      │              EnrolmentAnswer │ ChildRecord stored                │
      │◄─────────────────────────────┤                                   │

The parent decides whether the child is its child. The root decides whether that parent may speak for that name: a
region that was broken into can still not obtain a certificate in the name of the root, of itself, or of a node in
another branch.

A parent that was set back to a backup does not know who enrolled since. What it has forgotten, the root knows: whose child
each node is, and by which key. So who shows the parent a certificate of the tree's, and signs with its key, is let in again
where the root says that it was let in there before. Who was let in elsewhere needs a token.
"""

import ipaddress
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from littoral.core.clock import Clock
from littoral.core.errors import Conflict, Forbidden, InvalidInput, Unauthenticated
from littoral.core.random import Random
from littoral.security.ca import is_issued_by, node_of, not_after_ms, read_certificate, serial_of
from littoral.security.identity import NodeKey
from littoral.security.join import JoinToken, JoinTokenRecord, check_token, known_token
from littoral.security.keys import public_der, signature_fits
from littoral.security.requests import check_request

RENEWAL_SKEW_MS = 600_000
"""How far the clocks of child and parent may differ for a renewal. A replay gains nobody a certificate for another
key, so this only bounds how long a recorded request can be used to make the root sign again."""

_PURPOSE = "littoral renewal 1"


class EnrolRequest(Struct, frozen=True, kw_only=True):
    """A node asks to become a child."""

    node: str
    secret: bytes
    csr_pem: bytes
    advertise: list[str] = []


class RenewRequest(Struct, frozen=True, kw_only=True):
    """A child asks for a new certificate for the key it is registered with."""

    node: str
    csr_pem: bytes
    certificate_pem: bytes = b""
    """The one it has, expired or not: a parent that does not know the node asks those above about no stranger."""
    advertise: list[str] = []
    issued_ms: int
    nonce: bytes
    signature: bytes
    """By the node's key, over all the rest and the parent's name."""


class ParentFacts(Struct, frozen=True, kw_only=True):
    """What a child is told about its parent."""

    node: str
    url: str | None = None
    """Its mTLS listener, as it advertises it."""
    join_url: str | None = None


class EnrolmentAnswer(Struct, frozen=True, kw_only=True):
    """What a child gets, both times."""

    certificate_pem: bytes
    ca_pem: bytes
    parent: ParentFacts


class SignRequest(Struct, frozen=True, kw_only=True):
    """A parent asks the root, through its own parents, to sign for a child it has authorised."""

    node: str
    csr_pem: bytes
    advertise: list[str] = []
    at: str = ""
    """The node whose child it is; empty where not all that pass this on know that one to be below them."""
    forgotten: bool = False
    """`at` does not know it: sign only for a key and a place that are known."""


class SignAnswer(Struct, frozen=True, kw_only=True):
    """The root's answer."""

    certificate_pem: bytes
    ca_pem: bytes


class ChildRecord(Struct, frozen=True, kw_only=True):
    """What a parent keeps of a child."""

    node: str
    public_key: bytes
    """DER. It identifies the node, also when its certificate has expired."""
    serial: str
    """Of its latest certificate, hexadecimal."""
    not_after_ms: int
    revoked_ms: int | None = None
    """When it was expelled. A token made later lets it in again."""

    @property
    def revoked(self) -> bool:
        """Whether it was expelled."""
        return self.revoked_ms is not None


class SignedRecord(Struct, frozen=True, kw_only=True):
    """What the root keeps of each node it signed for."""

    node: str
    via: str
    """The root itself, or the root's child through which the request came."""
    advertise: list[str] = []
    at: str = ""
    """See SignRequest."""


def enrol_request(key: NodeKey, token: JoinToken, advertise: Sequence[str] = ()) -> EnrolRequest:
    """What a node sends to the token's join URL, over TLS with the CA that `check_ca` accepted."""
    csr_pem = key.request(token.node, advertise)
    return EnrolRequest(node=token.node, secret=token.secret, csr_pem=csr_pem, advertise=list(advertise))


def renew_request(
    key: NodeKey,
    *,
    node: str,
    parent: str,
    advertise: Sequence[str],
    clock: Clock,
    random: Random,
    certificate_pem: bytes = b"",
) -> RenewRequest:
    """What a child sends to its parent's join listener when its certificate is about to end, or has ended."""
    unsigned = RenewRequest(
        node=node,
        csr_pem=key.request(node, advertise),
        certificate_pem=certificate_pem,
        advertise=list(advertise),
        issued_ms=clock.wall_ms(),
        nonce=random.token_bytes(16),
        signature=b"",
    )
    return msgspec.structs.replace(unsigned, signature=key.sign(_signed_part(unsigned, parent)))


def _signed_part(request: RenewRequest, parent: str) -> bytes:
    parts = [
        request.node,
        request.csr_pem,
        request.certificate_pem,
        request.advertise,
        request.issued_ms,
        request.nonce,
    ]
    return msgspec.msgpack.encode([_PURPOSE, parent, *parts])


def authorise_enrolment(
    request: EnrolRequest, token: JoinTokenRecord | None, child: ChildRecord | None, now_ms: int
) -> JoinTokenRecord:
    """Whether a node may become a child of this one; returns the token's record as used, to be stored.

    `token` is what is stored under the secret's hash, `child` what under the node's name. A new key for a known name
    is fine: whoever made the token meant to let that name in. Raises: as `check_request` and `check_token`; Forbidden
    for an expelled node with a token older than that.
    """
    known_token(token, secret=request.secret, node=request.node)
    public_key = check_request(request.csr_pem, request.node, request.advertise)
    used = check_token(token, secret=request.secret, node=request.node, public_key=public_key, now_ms=now_ms)
    if child is not None and child.revoked_ms is not None and used.created_ms <= child.revoked_ms:
        raise expelled("enrol", request.node)
    return used


def authorise_renewal(
    request: RenewRequest, child: ChildRecord | None, *, parent: str, ca_pem: bytes, now_ms: int
) -> bool:
    """Whether a child may have a new certificate; `parent` is this node's name. False: only where those above know it as a
    child of this node's by the key that it shows, which is not known here.

    An expired certificate does not matter, the key does. Raises: Unauthenticated for an unknown node without a certificate
    of this tree's, a signature by another key or a clock too far off; Forbidden for an expelled node or a request for
    another key.
    """
    node = request.node
    signed = _signed_part(request, parent)
    known = child is not None and signature_fits(child.public_key, signed, request.signature)
    key = child.public_key if child is not None and known else _certified_key(request, ca_pem)
    if key is None or not signature_fits(key, signed, request.signature):
        raise _stranger(node[:63], parent, child)
    if child is not None and child.revoked:
        raise expelled("renew", node)
    if abs(now_ms - request.issued_ms) > RENEWAL_SKEW_MS:
        apart_s = abs(now_ms - request.issued_ms) // 1000
        cause = f"the clocks of {node} and {parent} are {apart_s} s apart; {RENEWAL_SKEW_MS // 1000} s are allowed"
        raise Unauthenticated("renew", node, cause, "Set them (NTP)")
    if check_request(request.csr_pem, node, request.advertise) != key:
        raise Forbidden("renew", node, "it asks for a certificate for another key than it enrolled with")
    return known


def _certified_key(request: RenewRequest, ca_pem: bytes) -> bytes | None:
    """The key of the certificate that a request shows, if that is one of this tree's for the node."""
    try:
        certificate = read_certificate(request.certificate_pem)
    except InvalidInput:
        return None
    if not is_issued_by(certificate, read_certificate(ca_pem)) or node_of(certificate) != request.node:
        return None
    return public_der(certificate.public_key())


def _stranger(node: str, parent: str, child: ChildRecord | None) -> Unauthenticated:
    """Why a node that shows no key that would be known is refused."""
    if child is None:
        return Unauthenticated("renew", node, f"it is no child of {parent}", _enrol_it(node))
    remedy = f"If it lost its key, enrol it again: `littoral token create {node}`"
    return Unauthenticated("renew", node, "the request is not signed by the key the node enrolled with", remedy)


def _enrol_it(node: str) -> str:
    return f"Enrol it with a token: `littoral token create {node}`"


def expelled(operation: str, node: str) -> Forbidden:
    """Why an expelled node is refused."""
    remedy = f"To let it in again, create a new token with `littoral token create {node}`"
    return Forbidden(operation, node, "the node was expelled (revoked)", remedy)


def authorise_signing(
    request: SignRequest,
    *,
    via: str,
    root: str,
    known: Mapping[str, SignedRecord],
    moves: bool = False,
    shown: bool = False,
) -> SignedRecord:
    """Whether the root signs; returns what it is to store.

    `via` is the root's child that passed the request on (by its node token), or `root` for the root's own children.
    `known` holds every node signed for. `moves`: the name may come from another branch. `shown`: the request shows the key
    that the node of that name is known by, so it is that node, wherever it was. Raises: Forbidden for a name that another
    branch, or the root, has; Unauthenticated for who is forgotten and not known; Conflict for an advertised name or public
    address that another node has.
    """
    node = request.node
    holder = known.get(node)
    if node in (root, via) or (holder is not None and holder.via != via and not moves):
        owner = holder.via if holder is not None else root
        remedy = "Names are unique in the tree; choose another, or move the node with its data directory, and its key"
        raise Forbidden("sign certificate for", node, f"{via} may not: the name belongs to {owner}", remedy)
    if request.forgotten and not (shown and holder is not None and request.at and holder.at == request.at):
        cause = f"it is not known by this key as a child of {request.at or via}, neither there nor at {root}"
        raise Unauthenticated("renew", node, cause, _enrol_it(node))
    taken = {name for other in known.values() if other.node != node for name in (other.node, *other.advertise)} | {root}
    for host in request.advertise:
        if host.lower() in taken and _is_unique(host):
            remedy = f"Remove it from spec.advertise of {node}"
            raise Conflict("sign certificate for", node, f'another node has the name "{host[:80]}"', remedy)
    return SignedRecord(node=node, via=via, advertise=[host.lower() for host in request.advertise], at=request.at)


def _is_unique(host: str) -> bool:
    """Private addresses are used again at every site; names and public addresses are one node's."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return host.lower() != "localhost"


def child_record(answer: SignAnswer, *, node: str, public_key: bytes) -> ChildRecord:
    """What the parent stores, once it has checked that the root signed what was asked. Raises InvalidInput."""
    certificate = read_certificate(answer.certificate_pem)
    if node_of(certificate) != node or public_der(certificate.public_key()) != public_key:
        raise InvalidInput("accept certificate for", node, "the root sent one for another node or key")
    return ChildRecord(
        node=node, public_key=public_key, serial=serial_of(certificate), not_after_ms=not_after_ms(certificate)
    )
