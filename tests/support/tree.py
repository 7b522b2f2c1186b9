"""A root with its CA, and nodes with keys, for tests of identity."""

from collections.abc import Sequence

from littoral.security.ca import CertificateAuthority
from littoral.security.enrolment import ChildRecord, SignAnswer, child_record
from littoral.security.identity import Identity, NodeFacts, NodeKey
from littoral.security.keys import new_key
from littoral.testing.random import SeededRandom
from tests.support.fakes import FakeClock


class Tree:
    """Everything is drawn from one seed."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = FakeClock()
        self.random = SeededRandom(seed)
        self.authority = CertificateAuthority.create("cloud", self.clock, self.random)

    def key(self) -> NodeKey:
        return NodeKey(new_key(self.random))

    def certify(self, key: NodeKey, node: str, advertise: Sequence[str] = ()) -> SignAnswer:
        issued = self.authority.sign(key.request(node, advertise), node, advertise, self.clock, self.random)
        return SignAnswer(certificate_pem=issued.certificate_pem, ca_pem=self.authority.certificate_pem)

    def identity(self, node: str, key: NodeKey | None = None) -> Identity:
        key = key or self.key()
        answer = self.certify(key, node)
        return Identity(key, answer.certificate_pem, answer.ca_pem, NodeFacts(node=node, parent="cloud"))

    def child(self, node: str, key: NodeKey) -> ChildRecord:
        return child_record(self.certify(key, node), node=node, public_key=key.public_key)
