"""Who signs for a child: the root's CA itself, or whoever is asked through the parent."""

from typing import Protocol

from littoral.core.clock import Clock
from littoral.core.random import Random
from littoral.fleet.kv_calls import ParentCall
from littoral.fleet.registry import Registry
from littoral.security.ca import CertificateAuthority
from littoral.security.enrolment import SignAnswer, SignRequest
from littoral.security.requests import check_request
from littoral.wire import peer

SIGN = "/v1/peer/sign"


class Signer(Protocol):
    """Gets certificates for nodes below this one."""

    async def sign(self, request: SignRequest, via: str) -> SignAnswer:
        """via: the direct child through which the request came; at the root's own children, the root's name."""
        ...


class RootSigner:
    """The CA is here."""

    def __init__(self, authority: CertificateAuthority, registry: Registry, clock: Clock, random: Random) -> None:
        self._authority = authority
        self._registry = registry
        self._clock = clock
        self._random = random

    async def sign(self, request: SignRequest, via: str) -> SignAnswer:
        public_key = check_request(request.csr_pem, request.node, request.advertise)
        await self._registry.note_signed(request, via, public_key)
        issued = self._authority.sign(request.csr_pem, request.node, request.advertise, self._clock, self._random)
        return SignAnswer(certificate_pem=issued.certificate_pem, ca_pem=self._authority.certificate_pem)


class ParentSigner:
    """The CA is above: pass the request on."""

    def __init__(self, call: ParentCall) -> None:
        self._call = call

    async def sign(self, request: SignRequest, via: str) -> SignAnswer:
        response = await self._call("POST", SIGN, peer.encode(request))
        return peer.decode(response.body, SignAnswer, "answer to signing request")
