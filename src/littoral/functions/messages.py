"""What travels between gateway, worker, zygote and hub, as msgpack arrays.

gateway -> worker   Call, and a Call with an empty method to cancel
worker -> gateway   Answer; one with id 0 means: this worker is leaving, send it nothing more
hub -> zygote       Start, Kill, Drain
zygote -> hub       WorkerEvent
worker -> hub       BindingCall (the first frame is the worker's credential)
hub -> worker       BindingAnswer
"""

from typing import Any, Literal

from msgspec import Struct

FRAME_OVERHEAD_BYTES = 1 << 20
"""What a frame may hold beside the body: the URL and the fields, which the HTTP server bounds at 400 KiB."""

AnswerError = Literal["", "exception", "timeout", "cancelled", "overload", "memory", "invalid", "too-large"]


class Call(Struct, array_like=True, frozen=True, gc=False):
    """One request to a worker."""

    id: int
    method: str
    """Empty: cancel the request with this id."""
    url: str = ""
    headers: list[tuple[str, str]] = []
    body: bytes = b""
    deadline_ms: int = 0
    """What is left of the wall time when the frame was sent."""
    request_id: str = ""


class Answer(Struct, array_like=True, frozen=True, gc=False):
    """A worker's reply to one request."""

    id: int
    status: int = 0
    headers: list[tuple[str, str]] = []
    body: bytes = b""
    error: AnswerError = ""
    """Why there is no response; the words for people are the gateway's, the details are in the node's log."""


class WorkerSpec(Struct, array_like=True, frozen=True):
    """All that a worker needs to know. It is read in the forked child only."""

    app: str
    directory: str
    """The revision's directory."""
    main: str
    """The file with the entry point, relative to `directory`."""
    vars: dict[str, str]
    kv: dict[str, str]
    """Name in `env` to namespace."""
    memory_bytes: int
    """What the worker may allocate beyond the warm runtime it starts from."""
    inflight: int
    background: int
    frame_bytes: int
    binding_wait_ms: int
    binding_bytes: int
    """The longest frame of a binding's call or answer."""
    socket: str
    """Path of the socket it serves at, relative paths not allowed."""
    bindings_socket: str
    credential: str
    """Proves to the hub which app this is."""


class Start(Struct, array_like=True, frozen=True, tag="start"):
    """Fork a worker."""

    app: str
    slot: int
    revision: str
    spec: bytes
    """A WorkerSpec, encoded: the zygote passes it on unread, so that no app's credential stays in what the next
    worker inherits."""


class Kill(Struct, array_like=True, frozen=True, tag="kill"):
    """SIGKILL a worker."""

    pid: int


class Drain(Struct, array_like=True, frozen=True, tag="drain"):
    """Let a worker finish its requests and exit (SIGTERM)."""

    pid: int


Command = Start | Kill | Drain


class WorkerEvent(Struct, array_like=True, frozen=True):
    """What the zygote reports."""

    kind: Literal["started", "ready", "failed", "exited", "known"]
    """known: sent for each worker there is when a hub connects; then one with pid 0 closes the list."""
    app: str
    slot: int
    revision: str
    pid: int
    detail: str = ""
    """failed: why. exited: "exit N" or "signal N". known: "ready", "starting" or "draining"."""


class BindingCall(Struct, array_like=True, frozen=True):
    """A worker asks for something."""

    id: int
    operation: str
    namespace: str
    arguments: list[Any]


class BindingAnswer(Struct, array_like=True, frozen=True):
    """What it gets."""

    id: int
    result: Any = None
    error: str = ""
    """A whole sentence; empty where the call succeeded."""


EXIT_IMPORT = 3
"""Exit code of a worker whose app could not be imported."""
EXIT_MEMORY = 4
"""Exit code of a worker that ran into its memory limit."""
EXIT_ORPHANED = 5
"""Exit code of a worker whose zygote was gone before it was set up."""
