"""The operator API: what the CLI, the dashboard and scripts call. Bearer token, loopback unless told otherwise.

GET    /healthz /metrics                    open to whoever reaches the listener
GET    /v1/status                           this node
GET    /v1/nodes                            this node and all below it, by their last status records
*      /v1/nodes/NODE/... /v1/inbox         what is asked of a node below: see littoral.node.inbox_api
POST   /v1/commands         {command}       see littoral.node.commands
POST   /v1/tokens           {node, ttlS}    a join token for a child
GET    /v1/resources                        the desired state
POST   /v1/resources        [Submission]    change it; at the root only
*      /v1/kv/...                           key-value: see littoral.node.kv_api
POST   /v1/bindings                         bindings of an app that runs elsewhere: see littoral.node.binding_api
*      /v1/secrets/...                      apps' secrets: see littoral.node.secret_api
*      /v1/dead-letters                     what could not be applied: see littoral.node.letter_api
*      /v1/apps/...                         apps and their revisions: see littoral.node.app_api
*      /v1/blobs                            large files: see littoral.node.blob_api
*      /v1/cache/...                        the HTTP cache: see littoral.node.cache_api
*      /v1/mqtt/...                         the MQTT broker, its clients and messages: see littoral.node.mqtt_api
GET    /v1/routes /v1/routes/test            who answers which requests: see littoral.node.route_desk
POST   /v1/routes/trace                     make a request, and say what it does: see littoral.node.trace_desk
*      /v1/crons                            what calls apps besides clients: see littoral.node.event_api
GET    /v1/stream-list /v1/stream-view/...  streams, page by page, and the end of one: see littoral.node.stream_desk
*      /v1/streams/ORIGIN/PATH              the Durable Streams protocol; /v1/stream/PATH for this node's own
*      /v1/stream/__ds/...                  subscriptions to streams: see littoral.streams.subscriptions.api
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from littoral.core.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from littoral.core.http import AnyResponse, Handler, Request, Response
from littoral.core.names import check_node_name
from littoral.core.undecodable import UNDECODABLE
from littoral.fleet.desired import DesiredRecord, check_record, newest, submit_desired
from littoral.node.app_api import AppApi
from littoral.node.app_messages import PATH as APPS
from littoral.node.binding_api import BindingApi
from littoral.node.binding_messages import PATH as BINDINGS
from littoral.node.blob_api import BlobApi
from littoral.node.blob_messages import PATH as BLOBS
from littoral.node.cache_api import PATH as CACHE
from littoral.node.cache_api import CacheApi
from littoral.node.claimed_routes import check_claims
from littoral.node.code_source import CodeBlobs
from littoral.node.commands import Commands
from littoral.node.event_api import PREFIXES as EVENT_PATHS
from littoral.node.event_api import EventApi
from littoral.node.inbox_api import InboxApi
from littoral.node.kv_api import PATH as KV_PATH
from littoral.node.kv_api import KvApi
from littoral.node.letter_api import LetterApi
from littoral.node.letter_messages import PATH as LETTERS
from littoral.node.mqtt_api import MqttApi
from littoral.node.mqtt_messages import PATH as MQTT
from littoral.node.operator_messages import Applied, ResourceEntry, TokenOrder
from littoral.node.route_api import PATHS as ROUTE_PATHS
from littoral.node.route_api import RouteApi
from littoral.node.secret_api import PATH as SECRET_PATH
from littoral.node.secret_api import SecretApi
from littoral.node.status import NodeStatus
from littoral.node.stream_desk import StreamDesk
from littoral.node.stream_messages import LIST, VIEW
from littoral.security.operator import is_operator
from littoral.store.store import Store
from littoral.streams.access import AccessList
from littoral.streams.server import OWN_PREFIX, PREFIX
from littoral.streams.subscriptions.api import SubscriptionApi, is_control
from littoral.streams.subscriptions.record import Owner
from littoral.streams.subscriptions.rights import Caller
from littoral.wire.answers import NO_STORE, json_answer, method_not_allowed
from littoral.wire.inbox import ASKED_PATH, COMMANDS_PATH, NODES_PATH

OPERATOR = Caller(Owner(operator=True), AccessList([]))
OPEN_PATHS = ("/healthz", "/metrics")
STREAM_PATHS = (PREFIX, OWN_PREFIX)
INBOX_PATHS = (NODES_PATH, f"{ASKED_PATH}/")


class OperatorApi:
    """Handler of the API listener."""

    def __init__(
        self,
        store: Store,
        token: str,
        *,
        is_root: bool,
        status: Callable[[], NodeStatus],
        nodes: Callable[[], Sequence[NodeStatus]],
        metrics: Callable[[], bytes],
        create_token: Callable[[str, int], Awaitable[str]] | None,
        resources: Callable[[], Sequence[ResourceEntry]],
        kv: KvApi,
        bindings: BindingApi,
        secrets: SecretApi,
        letters: LetterApi,
        apps: AppApi,
        code: CodeBlobs,
        blobs: BlobApi,
        caches: CacheApi,
        mqtt: MqttApi,
        inbox: InboxApi,
        commands: Commands,
        stream_desk: StreamDesk,
        streams: Handler,
        subscriptions: SubscriptionApi,
    ) -> None:
        """create_token: (node, time to live in ms) -> token; None where this node takes no children."""
        self._store = store
        self._token = token
        self._is_root = is_root
        self._status = status
        self._nodes = nodes
        self._metrics = metrics
        self._create_token = create_token
        self._resources = resources
        self._code = code
        self._inbox = inbox
        self._commands = commands
        self._parts: list[tuple[str | None, str, Handler]] = [
            (None, KV_PATH, kv.handle),
            (BINDINGS, f"{BINDINGS}/", bindings.handle),
            (None, SECRET_PATH, secrets.handle),
            (LETTERS, f"{LETTERS}/", letters.handle),
            (APPS, f"{APPS}/", apps.handle),
            (BLOBS, f"{BLOBS}/", blobs.handle),
            (None, f"{CACHE}/", caches.handle),
            (None, f"{MQTT}/", mqtt.handle),
            (LIST, VIEW, stream_desk.handle),
        ]
        """A path, and what those below it begin with, by who answers."""
        self._streams = streams
        self._subscriptions = subscriptions
        self.bindings = bindings
        self.routes: RouteApi | None = None
        """None where this node has no gateway."""
        self.events: EventApi | None = None
        """Likewise."""

    async def handle(self, request: Request) -> AnyResponse:
        """Answer one request. Raises LittoralError."""
        path = request.path
        if path in OPEN_PATHS and request.method in ("GET", "HEAD"):
            return self._open(path)
        if is_control(path):  # Some of it is called by those who were woken, with the token of the wake.
            return await self._subscriptions.handle(request, lambda: self._operator(request))
        self._operator(request)
        return await self._authorised(request)

    def _operator(self, request: Request) -> Caller:
        """The operator, if that is who asks. Raises Unauthenticated."""
        if is_operator(request.headers.get("authorization"), self._token):
            return OPERATOR
        raise Unauthenticated(
            "call",
            request.path[:120],
            "no valid operator token was shown",
            "Send `Authorization: Bearer …` with the content of identity/operator.token in the data directory",
        )

    async def answer(self, request: Request) -> AnyResponse:
        """Answer a request of one who may make it. Raises LittoralError."""
        path = request.path
        if path in OPEN_PATHS and request.method in ("GET", "HEAD"):
            return self._open(path)
        if is_control(path):
            return await self._subscriptions.handle(request, lambda: OPERATOR)
        return await self._authorised(request)

    async def _authorised(self, request: Request) -> AnyResponse:
        """Answer what is neither open nor a control address, of one who may ask. Raises LittoralError."""
        path = request.path
        if path.startswith(STREAM_PATHS):
            return await self._streams(request)
        if path == COMMANDS_PATH and request.method == "POST":
            return self._commands.handle(request)
        if path.startswith(INBOX_PATHS) or path == ASKED_PATH:
            return await self._inbox.handle(request)
        for whole, below, handle in self._parts:
            if path == whole or path.startswith(below):
                return await handle(request)
        return await self._plain(request)

    def _of_gateway(self, path: str) -> Handler:
        api = self.routes if path in ROUTE_PATHS else self.events
        if api is None:
            raise Conflict("call", path, f"node {self._store.node} has no gateway", "Give it spec.listen.gateway")
        return api.handle

    def _open(self, path: str) -> Response:
        if path == "/healthz":
            return Response(200, [("content-type", "text/plain"), NO_STORE], b"ok\n")
        return Response(200, [("content-type", "text/plain; version=0.0.4"), NO_STORE], self._metrics())

    async def _plain(self, request: Request) -> AnyResponse:
        if request.path in ROUTE_PATHS or request.path.startswith(EVENT_PATHS):
            return await self._of_gateway(request.path)(request)
        match (request.method, request.path):
            case ("GET", "/v1/status"):
                return json_answer(self._status())
            case ("GET", "/v1/nodes"):
                return json_answer(self._nodes())
            case ("GET", "/v1/resources"):
                return json_answer(self._resources())
            case ("POST", "/v1/tokens"):
                return await self._new_token(request)
            case ("POST", "/v1/resources"):
                return await self._apply(request)
            case (
                _,
                "/v1/commands" | "/v1/status" | "/v1/nodes" | "/v1/resources" | "/v1/tokens",
            ):
                raise method_not_allowed(request)
        raise NotFound("find", request.path[:120], "the operator API has no such resource")

    async def _new_token(self, request: Request) -> Response:
        try:
            order = msgspec.json.decode(request.body, type=TokenOrder)
        except UNDECODABLE as error:
            raise InvalidInput("create join token", "", str(error), 'Send {"node": "NAME"}') from error
        check_node_name(order.node)
        if self._create_token is None:
            raise Conflict(
                "create join token for",
                order.node,
                f"node {self._store.node} takes no children",
                "Give it spec.listen.peer and spec.listen.join",
            )
        return json_answer({"token": await self._create_token(order.node, order.ttl_s * 1000)})

    async def _apply(self, request: Request) -> Response:
        if not self._is_root:
            raise Conflict(
                "apply resources at", self._store.node, "the desired state is the root's", "Apply them at the root"
            )
        try:
            records = msgspec.msgpack.decode(request.body, type=list[DesiredRecord])
        except UNDECODABLE as error:
            raise InvalidInput(
                "apply resources", "", f"they cannot be read ({error})", "Use `littoral apply`"
            ) from error
        for record in records:
            check_record(record)
            self._code.check(record)
        check_claims(records, partial(newest, self._store))
        changed = await self._store.submit(lambda tx: submit_desired(tx, records, self._code.revisions_most))
        return json_answer(Applied(changed))
