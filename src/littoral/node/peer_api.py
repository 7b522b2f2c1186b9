"""The peer listener: mTLS, and every request signed by the child that sent it."""

from functools import partial

from littoral.core.http import AnyResponse, Request, Response
from littoral.core.kv import KeyValue
from littoral.fleet.kv_calls import KV_CALL, answer_kv_call
from littoral.fleet.registry import Registry
from littoral.fleet.secret_keys import SECRET_KEY, KeyAsk, SecretKeys
from littoral.node.signing import SIGN, Signer
from littoral.security.bearer import bearer
from littoral.security.enrolment import SignRequest
from littoral.security.requests import check_request
from littoral.security.tokens import TokenVerifier
from littoral.streams.blob_server import BlobServer
from littoral.streams.peer_server import PeerServer
from littoral.wire import peer


class PeerApi:
    """Everything children ask of their parent once they are enrolled."""

    def __init__(
        self,
        verifier: TokenVerifier,
        streams: PeerServer,
        keyvalue: KeyValue,
        registry: Registry,
        signer: Signer,
        blobs: BlobServer,
        secrets: SecretKeys,
    ) -> None:
        self._verifier = verifier
        self._streams = streams
        self._keyvalue = keyvalue
        self._registry = registry
        self._signer = signer
        self._blobs = blobs
        self._secrets = secrets

    async def handle(self, request: Request) -> AnyResponse:
        """Answer one request. Raises LittoralError."""
        await self._streams.admit(request)
        token = bearer(request.headers.get("authorization"))
        child = self._verifier.verify(token, method=request.method, path=request.path)
        if request.path == KV_CALL:
            return await answer_kv_call(self._keyvalue, request, partial(self._registry.may_ask, child))
        if request.path == SIGN:
            return await self._sign(child, request)
        if request.path == SECRET_KEY:
            ask = peer.decode(request.body, KeyAsk, "question for the key of secrets")
            return peer.answer(await self._secrets.answer(ask, child))
        if request.path.startswith(peer.BLOB):
            return await self._blobs.handle(child, request)
        return await self._streams.handle(child, request)

    async def _sign(self, child: str, request: Request) -> Response:
        signing = peer.decode(request.body, SignRequest, "signing request")
        # The root knows branches only: which of the children of one node has a name, that node has to say.
        public_key = check_request(signing.csr_pem, signing.node, signing.advertise)
        self._registry.check_below(signing.node, child, public_key)
        answer = await self._signer.sign(self._registry.passed_on(signing, child), child)
        await self._registry.note_below(signing.node, child, public_key)
        return peer.answer(answer)
