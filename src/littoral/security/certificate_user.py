"""Whom a client's certificate names."""

from typing import Literal

from cryptography import x509
from cryptography.x509.oid import NameOID

NamedBy = Literal["commonName", "dns", "uri", "email"]

_KINDS: dict[str, type[x509.DNSName] | type[x509.UniformResourceIdentifier] | type[x509.RFC822Name]] = {
    "dns": x509.DNSName,
    "uri": x509.UniformResourceIdentifier,
    "email": x509.RFC822Name,
}


def certificate_subject(der: bytes) -> str:
    """Whom a certificate is for, in the form of RFC 4514."""
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


def certificate_user(der: bytes, named_by: NamedBy) -> str | None:
    """The user that a certificate names, whose signature is known to be good; None if it names nobody, or several by their
    common names.

    named_by: the subject's common name, or the first of its alternative names of that kind.
    """
    certificate = x509.load_der_x509_certificate(der)
    if named_by == "commonName":
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) or None if len(names) == 1 else None
    try:
        said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    found = said.get_values_for_type(_KINDS[named_by])
    return found[0] or None if found else None
