"""What is said of bindings that another node answers (`littoral dev --remote`): by the developer's node to the command, over a socket,
and by the command to the operator API of the other one. It stands apart from what answers: a command does not load a node."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from littoral.core.errors import LittoralError
from littoral.core.resources.part import Name

PATH = "/v1/bindings"
CONTENT_TYPE = "application/msgpack"
FIND = "find"
"""The operation that changes nothing: whether the node has it."""
KINDS = frozenset({"kv", "queue", "service", "analytics"})
"""What can be another node's."""
SOCKET = "remote/bindings"
"""Below the `run` directory of the developer's node; in a directory of its own, which no worker is given."""
CREDENTIAL_FILE = "remote.credential"
"""Likewise: where it is, there is a command to ask, and what it holds is shown to it."""


class BindingOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/bindings, msgpack; of the answer it is the result."""

    app: Name
    """Who asks: data points and the logs of apps that are called name it."""
    kind: Annotated[str, Meta(max_length=40)]
    operation: Annotated[str, Meta(max_length=40)]
    name: Annotated[str, Meta(max_length=120)]
    """What it is asked of: a namespace, a queue, an app, a dataset."""
    arguments: list[Any] = []
    """As those of the kind's `littoral.functions.messages.BindingCall`; of an app, an encoded `Rpc`."""


class RemoteAnswer(Struct, array_like=True, frozen=True):
    """What the command says to a call."""

    result: Any = None
    operation: str = ""
    """Of the error there was; empty for none."""
    subject: str = ""
    cause: str = ""
    remedy: str = ""

    @classmethod
    def failed(cls, error: LittoralError) -> "RemoteAnswer":
        """The call ended with an error."""
        return cls(None, error.operation or "call", error.subject, error.cause, error.remedy)
