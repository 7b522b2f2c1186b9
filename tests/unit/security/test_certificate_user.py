import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from littoral.security.certificate_user import certificate_user

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def certificate(common_names=("press",), others=()):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
    )
    if others:
        builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
    return builder.sign(KEY, SHA256()).public_bytes(Encoding.DER)


ALL = certificate(
    others=[
        x509.RFC822Name("press@plant.test"),
        x509.DNSName("press.test"),
        x509.DNSName("other.test"),
        x509.UniformResourceIdentifier("urn:device:7"),
    ]
)


@pytest.mark.parametrize(
    ("named_by", "user"),
    [("commonName", "press"), ("dns", "press.test"), ("uri", "urn:device:7"), ("email", "press@plant.test")],
)
def test_a_certificate_names_its_user(named_by, user):
    assert certificate_user(ALL, named_by) == user


def test_a_certificate_that_names_nobody():
    assert certificate_user(certificate(()), "commonName") is None
    assert certificate_user(certificate(("press", "oven")), "commonName") is None, "it could be either"
    assert certificate_user(certificate(), "dns") is None
    assert certificate_user(certificate(others=[x509.DNSName("press.test")]), "email") is None
