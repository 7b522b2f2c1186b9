"""What a node keeps of its own identity, in its data directory.

    identity/key.pem     private key; made once, kept over renewals and new enrolments; secret
    identity/ca.pem      certificate of the tree's CA
    identity/node.json   NodeFacts
    identity/cert.pem    the node's certificate; written last, so that it is there only once the rest is

A node that has the first file only is not enrolled yet. Enrolling again removes the last one before it touches the
others, so a crash between any two writes never leaves parts of two identities together.
"""

from collections.abc import Sequence

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from littoral.core.disk import Disk
from littoral.core.errors import InvalidInput, StartupError
from littoral.core.random import Random
from littoral.security import keys
from littoral.security.ca import is_issued_by, node_of, not_after_ms, read_certificate, serial_of
from littoral.security.requests import make_request

KEY_PATH = "identity/key.pem"
CERTIFICATE_PATH = "identity/cert.pem"
CA_PATH = "identity/ca.pem"
FACTS_PATH = "identity/node.json"

_OPERATION = "load this node's identity from"
_ENROL = "Restore it from a backup, or start with a new join token: `littoral token create NODE` at the parent"


class NodeFacts(Struct, frozen=True, rename="camel"):
    """What a node learned when it enrolled."""

    node: str
    parent: str | None = None
    """Name of the parent; None for the root."""
    parent_url: str | None = None
    """Its mTLS listener, as it advertises it."""
    join_url: str | None = None
    """Its listener for enrolment and renewal."""
    token: str | None = None
    """SHA-256 of the secret of the join token that let the node in, hexadecimal: given again, it is not shown again."""


class NodeKey:
    """A node's private key and what it is used for."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public_key = keys.public_der(key.public_key())
        """DER; what the parent's registry knows the node by."""

    @property
    def private_key(self) -> ec.EllipticCurvePrivateKey:
        """For libraries that sign themselves."""
        return self._key

    @property
    def pem(self) -> bytes:
        """For the TLS listener and client."""
        return keys.key_pem(self._key)

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature, DER."""
        return keys.sign(self._key, data)

    def request(self, node: str, advertise: Sequence[str] = ()) -> bytes:
        """A certificate signing request, PEM. Raises InvalidInput for a wrong name."""
        return make_request(self._key, node, advertise)


class Identity:
    """An enrolled node: key, certificate, CA and facts that belong together."""

    def __init__(self, key: NodeKey, certificate_pem: bytes, ca_pem: bytes, facts: NodeFacts) -> None:
        """Raises InvalidInput if the four do not belong together. Whether the certificate is still valid is not
        looked at: a node whose certificate expired renews it.
        """
        certificate, authority = read_certificate(certificate_pem), read_certificate(ca_pem)
        if keys.public_der(certificate.public_key()) != key.public_key:
            raise InvalidInput("use certificate of", facts.node, "it was issued for another key")
        if not is_issued_by(certificate, authority):
            raise InvalidInput("use certificate of", facts.node, "it was not signed by this tree's CA")
        if node_of(certificate) != facts.node:
            raise InvalidInput("use certificate of", facts.node, f"it is of the node {node_of(certificate)}")
        self.key = key
        self.facts = facts
        self._certificate = certificate
        self._authority = authority

    @property
    def node(self) -> str:
        """The node's name."""
        return self.facts.node

    @property
    def certificate_pem(self) -> bytes:
        """What the node shows to its peers."""
        return self._certificate.public_bytes(Encoding.PEM)

    @property
    def ca_pem(self) -> bytes:
        """What the node trusts."""
        return self._authority.public_bytes(Encoding.PEM)

    @property
    def serial(self) -> str:
        """Of the certificate, hexadecimal."""
        return serial_of(self._certificate)

    @property
    def not_after_ms(self) -> int:
        """When the certificate ends."""
        return not_after_ms(self._certificate)

    def expired(self, now_ms: int) -> bool:
        """Whether the certificate has ended: peers refuse it, and only renewal is left."""
        return now_ms >= self.not_after_ms

    def needs_renewal(self, now_ms: int) -> bool:
        """Whether the last third of the certificate's life has begun."""
        return now_ms >= self.not_after_ms - _lifetime_ms(self._certificate) // 3


def _lifetime_ms(certificate: x509.Certificate) -> int:
    return int((certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds()) * 1000


def load_or_create_key(disk: Disk, random: Random) -> NodeKey:
    """The node's key; made and written when there is none. Raises StartupError if the file is damaged."""
    pem = disk.read(KEY_PATH)
    if pem is not None:
        return _read_key(pem)
    key = NodeKey(keys.new_key(random))
    disk.write(KEY_PATH, key.pem, secret=True)
    return key


def _read_key(pem: bytes) -> NodeKey:
    try:
        return NodeKey(keys.read_key(pem))
    except InvalidInput as error:
        raise StartupError(_OPERATION, KEY_PATH, error.cause, _ENROL) from error


def load_identity(disk: Disk) -> Identity | None:
    """The node's identity, or None if it has not enrolled. Raises StartupError if its files contradict each other."""
    certificate_pem = disk.read(CERTIFICATE_PATH)
    if certificate_pem is None:
        return None
    key_pem, ca_pem, facts = disk.read(KEY_PATH), disk.read(CA_PATH), disk.read(FACTS_PATH)
    if key_pem is None or ca_pem is None or facts is None:
        missing = next(p for p, data in ((KEY_PATH, key_pem), (CA_PATH, ca_pem), (FACTS_PATH, facts)) if data is None)
        raise StartupError(_OPERATION, missing, f"the file is missing, though {CERTIFICATE_PATH} is there", _ENROL)
    key = _read_key(key_pem)
    try:
        return Identity(key, certificate_pem, ca_pem, msgspec.json.decode(facts, type=NodeFacts))
    except InvalidInput as error:
        raise StartupError(_OPERATION, CERTIFICATE_PATH, error.cause, _ENROL) from error
    except msgspec.DecodeError as error:
        raise StartupError(_OPERATION, FACTS_PATH, str(error), _ENROL) from error


def save_identity(disk: Disk, identity: Identity) -> None:
    """Write what enrolment or renewal brought; the key is on disk already."""
    facts = msgspec.json.encode(identity.facts)
    if disk.read(CA_PATH) != identity.ca_pem or disk.read(FACTS_PATH) != facts:
        disk.remove(CERTIFICATE_PATH)
        disk.write(CA_PATH, identity.ca_pem)
        disk.write(FACTS_PATH, facts)
    disk.write(CERTIFICATE_PATH, identity.certificate_pem)
