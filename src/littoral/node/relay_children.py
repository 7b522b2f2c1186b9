"""Who may ask at a gateway's relay: the gateways of this node's children, by the node's certificate that they show.

As at the peer listener, it is the key that counts with which a child is known, and whether it was expelled since. That is looked
at with each request: connections last.
"""

import hashlib
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from littoral.core.errors import Forbidden
from littoral.gateway.exchange import Answering, Exchange, Serve
from littoral.gateway.relay import Relay
from littoral.security.ca import node_of

NOBODY = ""


def key_digest(public_key: bytes) -> bytes:
    """What children are told apart by: of a public key (DER)."""
    return hashlib.sha256(public_key).digest()


class RelayChildren:
    """Those of this node, in one gateway process."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.known: Mapping[str, bytes] = {}
        """The digests of their keys, by name."""

    def serve_of(self, certificate: bytes) -> Serve:
        """How the requests are served of whoever has shown that certificate (DER), which the tree's CA has signed."""
        node, digest = _identity(certificate)

        def serve(exchange: Exchange) -> Answering | None:
            if self.known.get(node) == digest:
                return self._relay.serve(exchange)
            cause = "its certificate is of no child of this node, or of one that was expelled"
            remedy = f"Enrol it with a token: `littoral token create {node}`"
            self._relay.refuse(exchange, Forbidden("relay request of", node or "a stranger", cause, remedy))
            return None

        return serve


def _identity(certificate: bytes) -> tuple[str, bytes]:
    """Name and key of the node that a certificate is of."""
    read = x509.load_der_x509_certificate(certificate)
    key = read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return node_of(read) or NOBODY, key_digest(key)
