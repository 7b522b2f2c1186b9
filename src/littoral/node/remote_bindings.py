"""Bindings of apps that another node answers: at the node of a developer, who asked for it (`littoral dev --remote`).

The hub hands such calls to the command, at a socket in the node's `run` directory. The command has the operator's credentials for
the other node; no process of this one, where code runs that is being written, ever sees them.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from littoral.core.errors import StartupError, Unavailable
from littoral.core.limits import Limits
from littoral.core.undecodable import UNDECODABLE
from littoral.functions.event_messages import rpc_body
from littoral.functions.hub.bindings import BindingHandler, binding_frame_bytes
from littoral.functions.messages import BindingCall
from littoral.functions.worker.binding_client import BindingClient
from littoral.functions.worker.event_env import SERVICE_WAIT_S
from littoral.node.binding_messages import CREDENTIAL_FILE, KINDS, SOCKET, RemoteAnswer
from littoral.node.service_desk import ServiceDesk
from littoral.workers import BindingError


class RemoteBindings:
    """Asks the command for what is remote, and the node itself for the rest."""

    def __init__(
        self,
        run_dir: Path,
        credential: str,
        remote: Callable[[str], Collection[tuple[str, str]]],
        services: ServiceDesk,
        limits: Limits,
    ) -> None:
        """remote: kinds and names of an app's bindings that are."""
        client = BindingClient(str(run_dir / SOCKET), credential, SERVICE_WAIT_S, binding_frame_bytes(limits))
        # What was done there is not done twice: an app's own call says so where it may be repeated.
        self._ask = {kind: client.caller(kind, kind, BindingError, repeatable=False) for kind in KINDS}
        self._client = client
        self._remote = remote
        self._services = services

    def over(self, handlers: Mapping[str, BindingHandler]) -> dict[str, BindingHandler]:
        """The same, which ask elsewhere where a binding is remote."""
        return {
            kind: partial(self._answer, handler) if kind in KINDS else handler for kind, handler in handlers.items()
        }

    def close(self) -> None:
        """Ask no more."""
        self._client.close()

    async def _answer(self, here: BindingHandler, app: str, call: BindingCall) -> Any:
        if (call.kind, call.namespace) not in self._remote(app):
            return await here(app, call)
        name, operation, arguments = call.namespace, call.operation, call.arguments
        if call.kind == "service":
            # Its document says which app that is, and the command does not read it.
            name, rpc = self._services.read(app, call)
            operation, arguments = "call", [rpc_body(rpc)]
        try:
            answered = msgspec.convert(await self._ask[call.kind](operation, name, [app, arguments]), RemoteAnswer)
        except (BindingError, *UNDECODABLE) as error:
            raise Unavailable(f"{operation} in remote {call.kind}", name, str(error)) from error
        if answered.operation:
            raise Unavailable(answered.operation, answered.subject, answered.cause, answered.remedy)
        return answered.result


def remote_bindings(
    run_dir: Path, remote: Callable[[str], Collection[tuple[str, str]]], services: ServiceDesk, limits: Limits
) -> RemoteBindings | None:
    """None where there is no command to ask: at all nodes but a developer's. Raises StartupError."""
    try:
        credential = (run_dir / CREDENTIAL_FILE).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError("read", str(run_dir / CREDENTIAL_FILE), str(error), "Start `littoral dev` again") from error
    return RemoteBindings(run_dir, credential, remote, services, limits)
