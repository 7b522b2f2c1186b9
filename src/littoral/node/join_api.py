"""The join listener: server TLS only, for nodes that have no certificate, or one that has expired."""

from littoral.core.clock import Clock
from littoral.core.errors import NotFound
from littoral.core.http import AnyResponse, Request, Response
from littoral.fleet.registry import Registry
from littoral.node.enrolment import JOIN_CA, JOIN_ENROL, JOIN_RENEW
from littoral.node.signing import Signer
from littoral.security.enrolment import (
    ChildRecord,
    EnrolmentAnswer,
    EnrolRequest,
    ParentFacts,
    RenewRequest,
    SignRequest,
    authorise_renewal,
    child_record,
)
from littoral.security.requests import check_request
from littoral.wire import peer
from littoral.wire.answers import method_not_allowed


class JoinApi:
    """Enrols and renews this node's children."""

    def __init__(
        self, node: str, ca_pem: bytes, facts: ParentFacts, registry: Registry, signer: Signer, clock: Clock
    ) -> None:
        self._node = node
        self._ca_pem = ca_pem
        self._facts = facts
        self._registry = registry
        self._signer = signer
        self._clock = clock

    async def handle(self, request: Request) -> AnyResponse:
        """Answer one request. Raises LittoralError."""
        route = (request.method, request.path)
        if route == ("GET", JOIN_CA):
            return Response(200, [("content-type", "application/x-pem-file")], self._ca_pem)
        if route == ("POST", JOIN_ENROL):
            return await self._enrol(peer.decode(request.body, EnrolRequest, "enrolment request"))
        if route == ("POST", JOIN_RENEW):
            return await self._renew(peer.decode(request.body, RenewRequest, "renewal request"))
        if request.path in (JOIN_CA, JOIN_ENROL, JOIN_RENEW):
            raise method_not_allowed(request)
        raise NotFound("find", request.path[:120], "the join listener only enrols and renews")

    async def _enrol(self, request: EnrolRequest) -> Response:
        child = self._registry.child(request.node)
        await self._registry.use_token(request)
        return await self._issue(request, child)

    async def _renew(self, request: RenewRequest) -> Response:
        child = self._registry.child(request.node)
        now_ms = self._clock.wall_ms()
        known = authorise_renewal(request, child, parent=self._node, ca_pem=self._ca_pem, now_ms=now_ms)
        self._registry.check_room(request.node)
        return await self._issue(request, child, forgotten=not known)

    async def _issue(
        self, request: EnrolRequest | RenewRequest, child: ChildRecord | None, *, forgotten: bool = False
    ) -> Response:
        """child: as what it was let in. forgotten: it is let in only where those above say that it was before."""
        node = request.node
        signing = SignRequest(
            node=node, csr_pem=request.csr_pem, advertise=request.advertise, at=self._node, forgotten=forgotten
        )
        signed = await self._signer.sign(signing, self._node)
        public_key = check_request(request.csr_pem, node, request.advertise)
        record = child_record(signed, node=node, public_key=public_key)
        await self._registry.add_child(record, child.revoked_ms if child is not None else None)
        answer = EnrolmentAnswer(certificate_pem=signed.certificate_pem, ca_pem=signed.ca_pem, parent=self._facts)
        return peer.answer(answer)
