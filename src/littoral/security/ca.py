"""The certificate authority of a tree. Only the root holds one; every other node knows its certificate."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from littoral.core.clock import Clock
from littoral.core.disk import Disk
from littoral.core.errors import InvalidInput, StartupError, Unavailable
from littoral.core.random import Random
from littoral.security.keys import key_pem, new_key, public_der, read_key
from littoral.security.requests import allowed_names, check_request, node_subject, node_uri

AUTHORITY_PATH = "identity/authority.pem"
"""Key and certificate of the CA in one file: they are replaced together or not at all."""
AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 90
BACKDATED = timedelta(minutes=5)
"""A certificate is valid from a little before it was made, for nodes whose clocks are behind."""

_SIGNING = {"digital_signature": True, "key_cert_sign": False, "crl_sign": False}
_AUTHORITY = {"digital_signature": False, "key_cert_sign": True, "crl_sign": True}
_NEITHER = {
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "encipher_only": False,
    "decipher_only": False,
}


class Issued(Struct, frozen=True):
    """A certificate just signed."""

    certificate_pem: bytes
    serial: str
    """Hexadecimal."""
    not_after_ms: int


class CertificateAuthority:
    """Signs the certificates of all nodes of a tree."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, tree: str, clock: Clock, random: Random) -> "CertificateAuthority":
        """A new CA with a self-signed certificate, valid for ten years. `tree` is shown as its name."""
        key = new_key(random)
        now = wall_time(clock)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Littoral CA of {tree}"[:64])])
        builder = _builder(name, name, key.public_key(), key.public_key(), random)
        builder = builder.not_valid_before(now - BACKDATED).not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(x509.KeyUsage(**_AUTHORITY, **_NEITHER), critical=True)
        return cls(key, builder.sign(key, SHA256(), ecdsa_deterministic=True))

    @classmethod
    def load(cls, disk: Disk) -> "CertificateAuthority | None":
        """The CA that this node holds, or None. Raises StartupError if its file is damaged."""
        pem = disk.read(AUTHORITY_PATH)
        if pem is None:
            return None
        remedy = "Restore it from a backup: without it, no node of this tree can renew its certificate"
        try:
            key, certificate = read_key(pem), read_certificate(pem)
        except InvalidInput as error:
            raise StartupError("load the CA from", AUTHORITY_PATH, error.cause, remedy) from error
        if public_der(key.public_key()) != public_der(certificate.public_key()):
            raise StartupError("load the CA from", AUTHORITY_PATH, "key and certificate do not belong together", remedy)
        return cls(key, certificate)

    def save(self, disk: Disk) -> None:
        """Write key and certificate to the node's disk, readable by their owner only."""
        disk.write(AUTHORITY_PATH, key_pem(self._key) + self.certificate_pem, secret=True)

    @property
    def certificate_pem(self) -> bytes:
        """What every node of the tree trusts."""
        return self._certificate.public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate (32 bytes); join tokens carry it."""
        return self._certificate.fingerprint(SHA256())

    def sign(self, csr_pem: bytes, node: str, advertise: Sequence[str], clock: Clock, random: Random) -> Issued:
        """A certificate for `node`, for servers and clients, valid for 90 days.

        Whether the node may have one is decided before (`enrolment`); this checks the request itself. It always gets
        all the names it is allowed. Raises: as `check_request`; Unavailable when the CA itself has expired.
        """
        check_request(csr_pem, node, advertise)
        now = wall_time(clock)
        not_after = min(now + timedelta(days=CERTIFICATE_DAYS), self._certificate.not_valid_after_utc)
        if now >= not_after:
            ended = self._certificate.not_valid_after_utc.date().isoformat()
            raise Unavailable("sign certificate for", node, f"the CA expired on {ended}", "Check the root's clock")
        public_key = x509.load_pem_x509_csr(csr_pem).public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        builder = _builder(node_subject(node), self._certificate.subject, public_key, self._key.public_key(), random)
        builder = builder.not_valid_before(now - BACKDATED).not_valid_after(not_after)
        names = x509.SubjectAlternativeName(allowed_names(node, advertise))
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.KeyUsage(**_SIGNING, **_NEITHER), critical=True)
        builder = builder.add_extension(uses, critical=False).add_extension(names, critical=False)
        certificate = builder.sign(self._key, SHA256(), ecdsa_deterministic=True)
        return Issued(certificate.public_bytes(Encoding.PEM), serial_of(certificate), not_after_ms(certificate))


def wall_time(clock: Clock) -> datetime:
    """The clock's wall time, to the second, as X.509 has it."""
    return datetime.fromtimestamp(clock.wall_ms() // 1000, tz=UTC)


def read_certificate(pem: bytes) -> x509.Certificate:
    """The first certificate of a PEM. Raises InvalidInput."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise InvalidInput("read certificate", "", "it is no PEM of a certificate") from error


def fingerprint_of(pem: bytes) -> bytes:
    """SHA-256 of a certificate (32 bytes). Raises InvalidInput."""
    return read_certificate(pem).fingerprint(SHA256())


def serial_of(certificate: x509.Certificate) -> str:
    """The serial number, hexadecimal."""
    return f"{certificate.serial_number:x}"


def not_after_ms(certificate: x509.Certificate) -> int:
    """When a certificate ends, in milliseconds since the epoch."""
    return int(certificate.not_valid_after_utc.timestamp()) * 1000


def node_of(certificate: x509.Certificate) -> str | None:
    """The node that a certificate names by its URI, or None if it names none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    prefix = node_uri("")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    nodes = [uri.removeprefix(prefix) for uri in uris if uri.startswith(prefix)]
    return nodes[0] if len(nodes) == 1 else None


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether `authority` signed `certificate`; validity in time is not looked at."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    random: Random,
) -> x509.CertificateBuilder:
    # RFC 5280, 4.1.2.2: positive, at most 20 octets; one bit less keeps the sign bit clear.
    serial = int.from_bytes(random.token_bytes(20)) >> 1
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(serial or 1)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder.add_extension(authority, critical=False)
