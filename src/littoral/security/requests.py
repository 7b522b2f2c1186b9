"""Certificate signing requests (PKCS #10): how a node makes one, and what one may ask for.

Rules:

- The subject is the node's name and nothing else; the key is on P-256; the request is signed by it.
- The names asked for are among: the node's name, its URI `littoral://node/<name>`, `localhost`, 127.0.0.1, ::1, and
  the host names and addresses that the node advertises.
- No extension but the names. What a certificate may be used for is not the node's to say.
"""

import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from littoral.core.errors import Forbidden, InvalidInput, TooLarge
from littoral.core.limits import ADVERTISED_NAMES, CSR_BYTES
from littoral.core.names import check_node_name
from littoral.core.resources.check import is_host
from littoral.security.keys import public_der

_OPERATION = "accept certificate request of"


def node_uri(node: str) -> str:
    """The name by which a certificate says which node it belongs to."""
    return f"littoral://node/{node}"


def allowed_names(node: str, advertise: Sequence[str]) -> list[x509.GeneralName]:
    """The names of a node's certificate, in its order, each once. Raises InvalidInput for what is no host."""
    check_node_name(node)
    if len(advertise) > ADVERTISED_NAMES.default:
        most = f"at most {ADVERTISED_NAMES.default} are allowed ({ADVERTISED_NAMES.name})"
        raise InvalidInput("use advertised names of", node, f"there are {len(advertise)}; {most}")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(node_uri(node))]
    names += [_host_name(host) for host in (node, "localhost", "127.0.0.1", "::1", *advertise)]
    return list(dict.fromkeys(names))


def _host_name(host: str) -> x509.GeneralName:
    if not is_host(host):
        raise InvalidInput("use advertised name", repr(host[:80]), "it is neither a host name nor an IP address")
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host.lower())


def make_request(key: ec.EllipticCurvePrivateKey, node: str, advertise: Sequence[str] = ()) -> bytes:
    """A signing request for `node`, PEM, with all the names it may have."""
    names = x509.SubjectAlternativeName(allowed_names(node, advertise))
    builder = (
        x509.CertificateSigningRequestBuilder().subject_name(node_subject(node)).add_extension(names, critical=False)
    )
    return builder.sign(key, SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.PEM)


def node_subject(node: str) -> x509.Name:
    """The subject of a node's certificate."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])


def check_request(csr_pem: bytes, node: str, advertise: Sequence[str]) -> bytes:
    """Check a request against the rules above; returns the public key in it (DER).

    Raises: TooLarge; InvalidInput for what is no request, has another key or a wrong signature; Forbidden for another
    subject, for names beyond those allowed, and for any other extension.
    """
    allowed = set(allowed_names(node, advertise))
    request = _parse(csr_pem, node)
    if request.subject != node_subject(node):
        subject = request.subject.rfc4514_string()[:120]
        raise Forbidden(_OPERATION, node, f'its subject is "{subject}", not "CN={node}"')
    for name in _names_asked_for(request, node):
        if name not in allowed:
            remedy = "List it under spec.advertise of the node, if children are to use it"
            raise Forbidden(_OPERATION, node, f'it asks for the name "{str(name.value)[:120]}"', remedy)
    return public_der(request.public_key())


def _parse(csr_pem: bytes, node: str) -> x509.CertificateSigningRequest:
    if len(csr_pem) > CSR_BYTES.default:
        raise TooLarge(_OPERATION, node, f"it has {len(csr_pem)} bytes; {CSR_BYTES.default} are allowed")
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        public_der(request.public_key())
        signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(_OPERATION, node, "it is no certificate signing request in PEM") from error
    if not signed:
        raise InvalidInput(
            _OPERATION, node, "its signature is not by the key in it: who sent it does not hold that key"
        )
    return request


def _names_asked_for(request: x509.CertificateSigningRequest, node: str) -> list[x509.GeneralName]:
    try:
        extensions = list(request.extensions)
        names: list[x509.GeneralName] = []
        for extension in extensions:
            if not isinstance(extension.value, x509.SubjectAlternativeName):
                raise Forbidden(_OPERATION, node, f"it asks for the extension {extension.oid.dotted_string}")
            names += list(extension.value)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise InvalidInput(_OPERATION, node, "its extensions cannot be read") from error
    return names
