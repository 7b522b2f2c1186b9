"""Certificate revocation lists (RFC 5280, section 5): which certificates of devices are good no more.

What a handshake goes by is decided by OpenSSL, from the same bytes. Here it is told which files are no such lists, which lists are
overdue, and which of the connections that are open have a certificate that was revoked since.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from littoral.core.errors import InvalidInput

LIST_BYTES_MOST = 4 << 20
"""Some 100,000 certificates: read between two turns of the event loop."""

_OPERATION = "read revocation list"
_REMEDY = "It is what the CA publishes: `openssl crl -in FILE -noout -text` shows one"
_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


class CertificateMark(NamedTuple):
    """What lists say of a certificate."""

    issuer: str
    """In the form of RFC 4514."""
    serial: int

    @classmethod
    def of(cls, der: bytes) -> "CertificateMark":
        """That of a certificate. Raises ValueError for what is none."""
        certificate = x509.load_der_x509_certificate(der)
        return cls(certificate.issuer.rfc4514_string(), certificate.serial_number)


class RevocationLists:
    """Lists of one CA or of several."""

    def __init__(self, lists: Iterable[tuple[str, x509.CertificateRevocationList]]) -> None:
        """lists: each with the file that it is from."""
        self._lists = [(path, each.issuer.rfc4514_string(), each) for path, each in lists]

    @property
    def pem(self) -> bytes:
        """All of them."""
        return b"".join(each.public_bytes(Encoding.PEM) for _, _, each in self._lists)

    def has(self, mark: CertificateMark) -> bool:
        """Whether a certificate is revoked by one of them."""
        return any(
            issuer == mark.issuer and each.get_revoked_certificate_by_serial_number(mark.serial) is not None
            for _, issuer, each in self._lists
        )

    def overdue(self, now_ms: int) -> str | None:
        """Which of them cannot be gone by now, in words: one that should have been replaced, or is of the future. None where all are
        good. now_ms: since the epoch."""
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        for path, issuer, each in self._lists:
            if each.next_update_utc is not None and now > each.next_update_utc:
                return f"the list of {issuer} in {path} was to be replaced by {each.next_update_utc:%Y-%m-%d %H:%M} UTC"
            if now < each.last_update_utc:
                return f"the list of {issuer} in {path} is good from {each.last_update_utc:%Y-%m-%d %H:%M} UTC on"
        return None


def read_revocation_lists(data: bytes, path: str) -> list[tuple[str, x509.CertificateRevocationList]]:
    """Those in a file, in PEM, one after another, or one in DER. Raises InvalidInput."""
    try:
        found = (
            [x509.load_pem_x509_crl(block) for block in _BLOCK.findall(data)]
            if data.lstrip().startswith(b"-----") or b"-----BEGIN" in data
            else [x509.load_der_x509_crl(data)]
        )
        deltas = [each for each in found if _is_delta(each)]
    except ValueError as error:
        raise InvalidInput(_OPERATION, path, f"it is none: {error}"[:200], _REMEDY) from error
    if not found:
        raise InvalidInput(_OPERATION, path, "there is none in it", _REMEDY)
    if deltas:
        raise InvalidInput(_OPERATION, path, "it says only what has changed since another list", "Name the whole list")
    return [(path, each) for each in found]


def _is_delta(found: x509.CertificateRevocationList) -> bool:
    """Section 5.2.4."""
    try:
        found.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    except x509.ExtensionNotFound:
        return False
    return True
