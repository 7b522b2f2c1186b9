"""The node whose bindings a project uses while it is developed (`littoral dev --remote`).

The developer's node asks here, over a socket that no worker can reach; from here the other node is asked, with the operator's
credentials, which stay in this process. Nothing is sent that the app did not give to a binding: no variables, no secrets, no code.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from littoral.cli.targets import Target
from littoral.core.errors import Forbidden, LittoralError, PeerUnreachable, TooLarge, Unavailable
from littoral.core.http import Request, Response
from littoral.core.limits import CONTROL_FRAME_BYTES, KV_VALUE_BYTES, Limits
from littoral.core.transport import Transport
from littoral.core.undecodable import UNDECODABLE
from littoral.drivers.random import SystemRandom
from littoral.functions.hub.bindings import BindingServer, Credentials, binding_frame_bytes
from littoral.functions.messages import BindingCall
from littoral.functions.worker.event_env import SERVICE_WAIT_S
from littoral.node.binding_messages import (
    CREDENTIAL_FILE,
    FIND,
    KINDS,
    PATH,
    SOCKET,
    BindingOrder,
    RemoteAnswer,
)
from littoral.node.layout import write_file
from littoral.node.status import NodeStatus
from littoral.projects.remote import Bound
from littoral.wire.inbox import DEADLINE_HEADER, NODES_PATH
from littoral.wire.problem import error_of

WAIT_S = 20.0
"""For an answer, but of other apps: less than a worker waits (binding-wait-ms), so that its error says who did not answer."""
KEY_BYTES = 32
ANSWER_MOST_BYTES = binding_frame_bytes(Limits()) - CONTROL_FRAME_BYTES.default // 2
"""The rest is for what stands around it."""

_Asked = tuple[str, list[Any]]
"""Arguments of the developer's node: which of its apps calls, and with what."""


class RemoteNode:
    """That node's operator API."""

    def __init__(self, transport: Transport, target: Target) -> None:
        self._transport = transport
        self._target = target
        self._name = target.at or "?"

    def __str__(self) -> str:
        return f"node {self._name} at {self._target.url}"

    async def open(self) -> None:
        """Learn who it is. Raises LittoralError: it cannot be reached, or does not take the token."""
        answer = await self._request("GET", "/v1/status", b"", WAIT_S)
        try:
            self._name = msgspec.json.decode(answer.body, type=NodeStatus).node
        except UNDECODABLE as error:
            remedy = "Check that the URL is that of a node's operator API"
            raise Unavailable("read the answer of", self._target.url, str(error), remedy) from error

    async def find(self, app: str, binding: Bound) -> None:
        """Returns where the node has what a binding names. Raises LittoralError."""
        await self._order(BindingOrder(app, binding.kind, FIND, binding.name), WAIT_S)

    async def call(self, app: str, call: BindingCall, arguments: list[Any]) -> Any:
        """What the binding gives. Raises LittoralError; PeerUnreachable where nobody answers."""
        order = BindingOrder(app, call.kind, call.operation, call.namespace, arguments)
        return await self._order(order, SERVICE_WAIT_S if call.kind == "service" else WAIT_S)

    async def _order(self, order: BindingOrder, timeout_s: float) -> Any:
        answer = await self._request("POST", PATH, msgspec.msgpack.encode(order), timeout_s)
        if len(answer.body) > ANSWER_MOST_BYTES:
            # That node's limits may be others; between this process and the developer's node no longer frames travel.
            cause = f"the answer has {len(answer.body)} bytes; at most {ANSWER_MOST_BYTES} are passed on ({KV_VALUE_BYTES.name})"
            raise TooLarge(f"{order.operation} in", f"{order.kind} {order.name}", cause, "Ask for less at once")
        try:
            return msgspec.msgpack.decode(answer.body)
        except UNDECODABLE as error:
            raise Unavailable(
                f"{order.operation} in", f"{order.kind} {order.name}", f"{self} answered {error}"
            ) from error

    async def _request(self, method: str, path: str, body: bytes, timeout_s: float) -> Response:
        target = self._target
        headers = {"authorization": f"Bearer {target.token}"}
        if target.at is not None:
            path = f"{NODES_PATH}{target.at}/api{path}"
            headers[DEADLINE_HEADER] = f"{target.deadline_ms}ms"
            timeout_s += target.deadline_ms / 1000
        response = await self._transport.request(target.url, Request(method, path, {}, headers, body), timeout_s)
        if response.status >= 400:
            raise error_of(response.status, response.body, "call", f"{target.url}{path}")
        return response


class RemoteDesk:
    """Answers the developer's node. Use `serving` around its life."""

    def __init__(self, node: RemoteNode, failed: Callable[[BaseException], None]) -> None:
        """failed: receives errors that are faults of ours."""
        self.node = node
        self._failed = failed
        self.allowed: set[tuple[str, str]] = set()
        """Kinds and names that may be asked for: all that the project had as remote since the command began, for requests under way
        end on the revision that they began on."""

    @contextlib.asynccontextmanager
    async def serving(self, run_dir: Path) -> AsyncIterator[None]:
        """run_dir: of the developer's node, which is not started yet."""
        credentials = Credentials(SystemRandom().token_bytes(KEY_BYTES))
        server = BindingServer(run_dir / SOCKET, dict.fromkeys(KINDS, self.answer), credentials, Limits(), self._failed)
        await server.start()
        try:
            write_file(run_dir / CREDENTIAL_FILE, credentials.issue("dev", 0).encode())
            yield
        finally:
            (run_dir / CREDENTIAL_FILE).unlink(missing_ok=True)
            await server.stop()

    async def answer(self, app: str, call: BindingCall) -> RemoteAnswer:
        """See BindingHandler; app: the node of the developer, whichever of its apps calls. Errors are told as they are: who asks has words of its own for what it raises."""
        try:
            return RemoteAnswer(await self._answer(call))
        except PeerUnreachable as error:
            cause = f"it is a remote binding, and {self.node} does not answer: {error.cause}"
            remedy = "See whether it runs and can be reached; what it was doing may be done or not"
            return RemoteAnswer.failed(
                PeerUnreachable(f"{call.operation} in", f"{call.kind} {call.namespace}", cause, remedy)
            )
        except LittoralError as error:
            return RemoteAnswer.failed(error)

    async def _answer(self, call: BindingCall) -> Any:
        if (call.kind, call.namespace) not in self.allowed:
            raise Forbidden(
                f"{call.operation} in", f"{call.kind} {call.namespace}", "the project has no such remote binding"
            )
        app, arguments = msgspec.convert(call.arguments, _Asked)
        return await self.node.call(app, call, arguments)
