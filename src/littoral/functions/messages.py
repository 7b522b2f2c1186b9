"""What travels between gateway, worker, zygote and hub, as msgpack arrays.

gateway -> worker   Call, and a Call with an empty method to cancel
worker -> gateway   Answer; one with id 0 and fields says who it is (REVISION), before anything else; one with id 0 and none
                    means: this worker is leaving, send it nothing more
both ways           bodies that do not travel whole, in frames of their own (`pieces`)
hub -> zygote       Start and Preload, each with the descriptor of its spec, Kill, Drain
zygote -> hub       WorkerEvent
worker -> hub       BindingCall (the first frame is the worker's credential)
hub -> worker       BindingAnswer
"""

from typing import Any, Literal

from msgspec import Raw, Struct

from littoral.core.resources.app_assets import Assets
from littoral.functions.stream_terms import StreamTerms
from littoral.wire.told_fields import ToldFields, read_told_fields

FRAME_OVERHEAD_BYTES = 1 << 20
"""What a frame may hold beside the body: the URL and the fields, which the HTTP server bounds at 400 KiB."""

EventKind = Literal["", "scheduled", "queue", "rpc"]
"""What an app is called for: nothing for a request, else one of `littoral.functions.worker.events`."""

WHOLE_BYTES = 1 << 17
"""A longer body does not travel within its Call or Answer, but in pieces: its frame would hold up others on the connection."""

REVISION = "revision"
"""The field in which a worker says which revision of its app it runs, without what its secrets add to it."""

AnswerError = Literal[
    "", "exception", "timeout", "cancelled", "overload", "memory", "invalid", "too-large", "request-too-large", "cpu"
]


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
    event: EventKind = ""
    """Of an event `method` and `url` say in words what it is, and the bodies of call and answer are its own."""
    more: bool = False
    """Whether the body follows in pieces."""
    in_new_trace: bool = False
    """Whether there are two more fields than `headers` has: those that follow from the request's id."""

    def fields(self) -> list[tuple[str, str]]:
        """All that is told of the request."""
        return self.headers


class PackedCall(Call, array_like=True, frozen=True, gc=False):
    """The same on its way: nobody reads fields but who asks for them."""

    headers: Raw = Raw(b"\x90")  # type: ignore[assignment]

    def fields(self) -> list[tuple[str, str]]:
        """See Call. Raises msgspec.DecodeError for what is no list of fields."""
        return read_told_fields(self.headers, self.request_id, in_new_trace=self.in_new_trace)


class CallWithin(Call, array_like=True, frozen=True, gc=False):
    """The same to an app in this process, of a request with which a trace begins."""

    headers: ToldFields = ToldFields(())  # type: ignore[assignment]

    def fields(self) -> list[tuple[str, str]]:
        """See Call."""
        return self.headers.of(self.request_id)


class Answer(Struct, array_like=True, frozen=True, gc=False):
    """A worker's reply to one request."""

    id: int
    status: int = 0
    headers: list[tuple[str, str]] = []
    body: bytes = b""
    error: AnswerError = ""
    """Why there is no response; the words for people are the gateway's, the details are in the node's log."""
    more: bool = False
    """Whether the body follows in pieces."""
    length: int | None = None
    """Of a body in pieces, if it is known."""
    cpu_us: int = 0
    """CPU time that the request took in the worker."""


class WorkerBounds(Struct, array_like=True, frozen=True):
    """What a worker may take of the machine, and what it may not reach."""

    isolation: Literal["process", "sandbox"] = "process"
    open_files: int = 1024
    temporary_bytes: int = 64 << 20
    """Of its directory for temporary files; where it has no file system of its own, of each file in it."""
    threads: int = 256
    """Of all workers of the app together, where the app has a user of its own."""
    cpu_ms: int = 0
    """Of one request; 0: as much as its wall time holds."""
    log_lines: int = 0
    """A second, of all that it writes to its standard output and error; 0: as many as it likes."""
    log_bytes: int = 0
    event_cpu_ms: int = 0
    """As `cpu_ms`, of a run of a cron trigger or a batch of a queue."""
    concurrency: int = 0
    """Requests at once; 0: as many as the node allows."""
    request_bytes: int = 0
    """Of a request's body that is read whole; 0: as much as the node allows."""
    response_bytes: int = 0
    """Of a response's body; 0: as much as it likes, in pieces."""


class WorkerEgress(Struct, array_like=True, frozen=True):
    """How a worker makes requests of its own."""

    credential: str = ""
    """Proves to the egress which app this is."""
    at_once: int = 6
    wait_ms: int = 5000


class WorkerInference(Struct, array_like=True, frozen=True):
    """How a worker has models run."""

    binding: str = ""
    """Its name in `env`; empty where the app has none."""
    credential: str = ""
    """Proves to the process that runs models which app this is."""
    wait_ms: int = 0
    most_bytes: int = 0
    """Of the inputs of a run, and of its outputs."""


class WorkerBinding(Struct, array_like=True, frozen=True):
    """A binding that is not key-value."""

    kind: Literal["queue", "service", "analytics"]
    name: str
    """What the node knows it by."""
    delay_s: int = 0
    """Of messages that say nothing else."""


class WorkerSpec(Struct, array_like=True, frozen=True):
    """All that a worker needs to know. It is read in the forked child only."""

    app: str
    directory: str
    """The revision's directory."""
    main: str
    """The file with the entry point, relative to `directory`."""
    vars: dict[str, Any]
    """What JSON can hold, by name in `env`."""
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
    bindings_socket: str
    credential: str
    """Proves to the hub which app this is."""
    bounds: WorkerBounds = WorkerBounds()
    egress: WorkerEgress = WorkerEgress()
    egress_socket: str = ""
    node: str = ""
    """The node's name."""
    streams: StreamTerms = StreamTerms()
    secrets: dict[str, str] = {}
    """By name in `env`."""
    assets: Assets | None = None
    bindings: dict[str, WorkerBinding] = {}
    """By name in `env`."""
    shows_errors: bool = False
    """Whether clients see the traceback of what the code raised: at the node of a developer."""
    revision: str = ""
    """As it was deployed."""
    inference: WorkerInference = WorkerInference()
    inference_socket: str = ""


class Start(Struct, array_like=True, frozen=True, tag="start"):
    """Fork a worker."""

    app: str
    slot: int
    revision: str
    spec: bytes
    """A WorkerSpec, encoded. It leaves the hub as a descriptor, and here is nothing then: what the zygote once had in its memory, each
    later worker could find in its own."""
    log_lines: int = 0
    """See WorkerBounds."""
    log_bytes: int = 0
    preloaded: bool = False
    """Within the environment of this revision, where there is one."""
    place: str = ""
    """The directory of its socket (`littoral.functions.places`)."""


class Preload(Struct, array_like=True, frozen=True, tag="preload"):
    """Make an environment for the workers of an app's revision (`littoral.functions.zygote.preload`). Reported on as a worker in the slot
    PRELOAD."""

    app: str
    revision: str
    spec: bytes
    """As in Start; its `vars` are the packages to leave out."""


class Kill(Struct, array_like=True, frozen=True, tag="kill"):
    """SIGKILL a worker."""

    pid: int


class Drain(Struct, array_like=True, frozen=True, tag="drain"):
    """Let a worker finish its requests and exit (SIGTERM)."""

    pid: int


Command = Start | Preload | Kill | Drain

PRELOAD = -1
"""The slot of an app's environment, in what is reported."""


class WorkerEvent(Struct, array_like=True, frozen=True):
    """What the zygote reports."""

    kind: Literal["started", "ready", "failed", "exited", "known", "log"]
    """known: sent for each worker there is when a hub connects; then one with pid 0 closes the list."""
    app: str
    slot: int
    revision: str
    pid: int
    detail: str = ""
    """failed: why. log: lines that it wrote. exited: "exit N" or "signal N". known: "ready", "starting" or "draining"."""


class BindingCall(Struct, array_like=True, frozen=True):
    """A worker asks for something."""

    id: int
    operation: str
    namespace: str
    """What it is asked of, by the name that the node knows it by."""
    arguments: list[Any]
    kind: str = "kv"
    """Of what kind that is: which handler answers (`littoral.functions.hub.bindings`)."""


class BindingAnswer(Struct, array_like=True, frozen=True):
    """What it gets."""

    id: int
    result: Any = None
    error: str = ""
    """A whole sentence; empty where the call succeeded."""


class InlineState(Struct, array_like=True, frozen=True):
    """An app that runs in a gateway's process, as the gateway tells it."""

    revision: str = ""
    """The one that answers there; empty while none does."""
    failure: str = ""
    """Why the one that should does not."""


EXIT_IMPORT = 3
"""Exit code of a worker whose app could not be imported."""
EXIT_MEMORY = 4
"""Exit code of a worker that ran into its memory limit."""
EXIT_ORPHANED = 5
"""Exit code of a worker whose zygote was gone before it was set up."""
