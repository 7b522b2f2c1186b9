"""What a certificate request may ask for."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from littoral.core.errors import Forbidden, InvalidInput, TooLarge
from littoral.security.keys import new_key
from littoral.security.requests import allowed_names, check_request, make_request, node_subject
from littoral.testing.random import SeededRandom

KEY = new_key(SeededRandom(1))


def request(subject: x509.Name, *extensions: x509.ExtensionType, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def names(*dns: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(name) for name in dns])


def test_a_node_asks_for_its_name_its_uri_loopback_and_what_it_advertises() -> None:
    asked = allowed_names("eu", ["EU.example", "10.0.0.1", "eu"])
    assert [str(name.value) for name in asked] == [
        "littoral://node/eu",
        "eu",
        "localhost",
        "127.0.0.1",
        "::1",
        "eu.example",
        "10.0.0.1",
    ]
    csr = make_request(KEY, "eu", ["eu.example"])
    assert check_request(csr, "eu", ["eu.example"]) == check_request(make_request(KEY, "eu"), "eu", [])


REFUSED = {
    "other subject": (request(node_subject("cloud")), Forbidden, 'its subject is "CN=cloud", not "CN=eu"'),
    "more subject": (
        request(x509.Name([*node_subject("eu"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x")])),
        Forbidden,
        "its subject is",
    ),
    "other name": (
        request(node_subject("eu"), names("eu", "cloud")),
        Forbidden,
        'it asks for the name "cloud". List it under spec.advertise of the node',
    ),
    "wildcard": (request(node_subject("eu"), names("*")), Forbidden, r'it asks for the name "\*"'),
    "name not advertised": (make_request(KEY, "eu", ["eu.example"]), Forbidden, 'it asks for the name "eu.example"'),
    "to be a CA": (
        request(node_subject("eu"), x509.BasicConstraints(ca=True, path_length=None)),
        Forbidden,
        "it asks for the extension 2.5.29.19",
    ),
    "garbage": (
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        InvalidInput,
        "it is no",
    ),
    "nothing": (b"", InvalidInput, "it is no certificate signing request in PEM"),
    "huge": (b"x" * 20_000, TooLarge, "it has 20000 bytes; 16384 are allowed"),
    "other curve": (
        request(node_subject("eu"), key=ec.derive_private_key(7, ec.SECP384R1())),
        InvalidInput,
        "it is not a key on P-256",
    ),
}


@pytest.mark.parametrize(("csr", "error", "cause"), REFUSED.values(), ids=REFUSED)
def test_refused(csr: bytes, error: type[Exception], cause: str) -> None:
    with pytest.raises(error, match=cause):
        check_request(csr, "eu", [])


def test_a_request_signed_by_another_key_is_refused() -> None:
    honest = x509.load_pem_x509_csr(make_request(KEY, "eu"))
    der = bytearray(honest.public_bytes(Encoding.DER))
    # Another public key is put in, so that the signature is by a key that is not there.
    point = honest.public_key().public_numbers()  # type: ignore[union-attr]
    other = new_key(SeededRandom(2)).public_key().public_numbers()
    for mine, theirs in ((point.x, other.x), (point.y, other.y)):  # type: ignore[union-attr]
        start = bytes(der).index(mine.to_bytes(32))
        der[start : start + 32] = theirs.to_bytes(32)
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)
    with pytest.raises(InvalidInput, match="its signature is not by the key in it"):
        check_request(forged, "eu", [])


def test_an_rsa_key_is_refused() -> None:
    key = rsa.generate_private_key(65537, 2048)
    csr = x509.CertificateSigningRequestBuilder().subject_name(node_subject("eu")).sign(key, SHA256())
    with pytest.raises(InvalidInput, match="it is not a key on P-256"):
        check_request(csr.public_bytes(Encoding.PEM), "eu", [])


@pytest.mark.parametrize("advertise", [["a:1"], ["https://a"], ["*.example"], [""], ["a"] * 33])
def test_what_cannot_be_advertised(advertise: list[str]) -> None:
    with pytest.raises(InvalidInput):
        make_request(KEY, "eu", advertise)
