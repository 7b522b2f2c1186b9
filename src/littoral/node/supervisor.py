"""The process that `littoral node run` starts: it binds the listeners, and keeps the node's other processes running.

    supervisor
     ├─ hub               python -m littoral.node.hub_process
     ├─ gateway × N       python -m littoral.node.gateway_process     where spec.listen.gateway is set
     ├─ functions         python -m littoral.functions.zygote.zygote         likewise
     ├─ egress            python -m littoral.node.egress_process      likewise
     ├─ inference         python -m littoral.node.inference_process   likewise, while somebody has models run
     └─ dashboard         python -m littoral.dashboard                where spec.listen.dashboard is set

Rules:

- The listening sockets are the supervisor's. Whatever process dies, connections wait in the socket's queue for the
  next one, and no other program can take the port.
- A child that ends is started again, with a backoff that grows while it keeps ending early. A hub that ends with
  EXIT_STARTUP before one was ever well ends the node: its configuration is wrong, and it has said so.
- SIGUSR1 has the process started that runs models, if it does not run. When it ends of itself, nobody wants it any more.
- SIGUSR2 says that the hub has bound a listener that its document names since, or has given one up (littoral.node.handover).
- SIGHUP replaces the gateways one after another, and cuts nobody off (littoral.node.rollover).
- Children die with the supervisor (PR_SET_PDEATHSIG), so a restart of the node never meets its own ghosts.

No threads, no event loop: the supervisor is what must not fail, so there is little in it that could.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from littoral.core.errors import LittoralError, StorageError
from littoral.core.function_limits import FUNCTION_FIRST_USER, FUNCTION_SPARES
from littoral.core.limits import CHILDREN, CONTROL_FRAME_BYTES, RESTART_DELAY_MS, Limits
from littoral.core.mqtt_limits import MQTT_CONNECTIONS
from littoral.core.resources import Node
from littoral.drivers.cache_place import remove_content
from littoral.drivers.changed_file import file_state
from littoral.drivers.clock import SystemClock
from littoral.drivers.disk import LocalDisk, storage_error
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.process import die_with_parent, raise_open_files
from littoral.node.child import FIRST_DELAY_S, NEVER_S, Child
from littoral.node.code_place import remove_code
from littoral.node.handover import OPTION, SIGNAL, handed_over, handover_pair, name_and_address
from littoral.node.layout import (
    API_FILE,
    CACHE,
    EXIT_STARTUP,
    JOIN_TOKEN_VARIABLE,
    NODE_FILE,
    PIDS_FILE,
    RUN,
    write_json,
)
from littoral.node.lock import locked
from littoral.node.mqtt_sockets import certificates_of, listener_names
from littoral.node.rollover import LOOK_S, READY_OPTION, Rollover
from littoral.node.store_key import take_variable

WELL_S = 10.0
"""A child that ran this long was well; its next restart is not delayed."""
OTHER_FILES = 1000
"""What a hub has open besides children and MQTT clients: the store, readers of streams, clients of its API."""
GATEWAY = "gateway"
"""What the names of gateways begin with."""
OTHERS = frozenset({GATEWAY, "relay", "dashboard"})
"""Listeners that are not the hub's."""
LONGEST_WAIT_S = 3600.0
STOP_S = 12.0
"""How long children may take to end before they are killed."""
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, SIGNAL)


class Supervisor:
    """Keeps one node's processes running."""

    def __init__(
        self,
        config: Node,
        data_dir: Path,
        token: str | None,
        say: Callable[[str], None],
        document: Path | None = None,
    ) -> None:
        """say: takes one line for the operator. document: the file that says `config`, if one does."""
        self._config = config
        self._document = document
        self._data_dir = data_dir
        self._say = say
        self._limits = Limits(config.spec.limits)
        self._most_delay_s = self._limits[RESTART_DELAY_MS] / 1000
        self._listeners: dict[str, socket.socket] = {}
        self._children: list[Child] = []
        self._hub_command: list[str] = []
        """Without its sockets."""
        self._token = token
        self._store_key = take_variable(config.spec.encryption, os.environ)
        """The variable with the store's key: the hub's alone."""
        self._hub_was_well = False
        """Whether a hub ran for a while since this supervisor started: then what keeps it from starting may pass."""
        self._clock = SystemClock()
        self._rollover = Rollover(self._start_successor, self._clock, say)
        self._handover: tuple[socket.socket, socket.socket] | None = None
        """The hub's end, and this process's; made when the listeners are bound."""

    def run(self) -> int:
        """Run the node until SIGTERM or SIGINT; returns the exit status. Raises StartupError, StorageError."""
        LocalDisk(self._data_dir)
        self._check_open_files(raise_open_files())
        with locked(self._data_dir, "start node", self._config.metadata.name):
            self._bind()
            self._plan()
            old = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                return self._keep_running()
            finally:
                self._stop()
                if self._config.spec.encryption is not None:
                    remove_code(self._data_dir, os.environ)
                # One that came too late would end this process in the midst of its end.
                signal.signal(signal.SIGUSR1, signal.SIG_IGN)
                signal.signal(SIGNAL, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_SETMASK, old)
                for each in (*self._listeners.values(), *(self._handover or ())):
                    each.close()

    # Preparation

    def _check_open_files(self, allowed: int) -> None:
        """Say so where the system allows fewer connections than the node's limits do."""
        listen, limits = self._config.spec.listen, self._limits
        children = limits[CHILDREN] if listen.peer else 0
        clients = limits[MQTT_CONNECTIONS] if listen.mqtt or self._config.spec.mqtt.listeners else 0
        if allowed < children + clients + OTHER_FILES:
            self._say(
                f"this system lets a process open {allowed} files, fewer than {children} children and {clients} MQTT"
                " clients need; raise its hard limit of open files (ulimit -Hn, LimitNOFILE=), or lower the limits"
                f" {CHILDREN.name} and {MQTT_CONNECTIONS.name}"
            )

    def _bind(self) -> None:
        listen = self._config.spec.listen
        wanted = {name: getattr(listen, name) for name in listen.__struct_fields__}
        wanted |= {name: each.address for name, each in listener_names(self._config.spec.mqtt).items()}
        for name, address in wanted.items():
            if address is not None:
                self._listeners[name] = listen_tcp(address)
        self._handover = handover_pair()
        run_dir = self._data_dir / RUN
        try:
            run_dir.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise storage_error("create directory", str(run_dir), error) from error
        write_json(self._data_dir / NODE_FILE, self._config)
        write_json(self._data_dir / API_FILE, self._addresses())

    def _addresses(self) -> Mapping[str, str]:
        addresses = {}
        for name, listener in self._listeners.items():
            host, port = listener.getsockname()[:2]
            addresses[name_and_address(name)[0]] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return addresses

    def _plan(self) -> None:
        python = [sys.executable, "-m"]
        for each in self._config.spec.mqtt.listeners:
            certificates_of(each)
        hub = [*python, "littoral.node.hub_process", "--data-dir", str(self._data_dir)]
        if self._document is not None:
            document = str(self._document.absolute())
            hub += ["--document", document, "--document-seen", file_state(document)]
        environment = {JOIN_TOKEN_VARIABLE: self._token} if self._token else {}
        environment |= self._store_key
        self._hub_command = hub
        self._children.append(Child("hub", hub, environment=environment))
        self._give_hub_its_sockets(self._children[-1])
        run_dir = str(self._data_dir / RUN)
        if (gateway := self._listeners.get("gateway")) is not None:
            socket_path = str(self._data_dir / RUN / "zygote.sock")
            zygote = [*python, "littoral.functions.zygote.zygote", "--socket", socket_path]
            zygote += ["--command-bytes", str(self._limits[CONTROL_FRAME_BYTES])]
            zygote += ["--spares", str(self._limits[FUNCTION_SPARES])]
            zygote += ["--first-user", str(self._limits[FUNCTION_FIRST_USER])]
            self._children.append(Child("functions", zygote))
            egress = [*python, "littoral.node.egress_process", "--run-dir", run_dir]
            self._children.append(Child("egress", egress))
            inference = [*python, "littoral.node.inference_process", "--run-dir", run_dir]
            self._children.append(Child("inference", inference, due_s=NEVER_S, is_on_demand=True))
            options: list[str] = []
            if self._config.spec.gateway_tls is not None:
                # It needs asyncio and ssl, which the supervisor does not: half of what it would import.
                from littoral.node.gateway_certificates import GatewayCertificates  # noqa: PLC0415

                GatewayCertificates(self._config.spec.gateway_tls)
                options = ["--tls", msgspec.json.encode(self._config.spec.gateway_tls).decode()]
            sockets = [gateway]
            if (relay := self._listeners.get("relay")) is not None:
                sockets.append(relay)
                options += ["--relay-fd", str(relay.fileno())]
            options += self._cache_options()
            for index in range(self._config.spec.gateways):
                command = [*python, "littoral.node.gateway_process", "--fd", str(gateway.fileno()), *options]
                command += ["--run-dir", run_dir, "--index", str(index)]
                self._children.append(Child(f"{GATEWAY}-{index}", command, sockets))
        if (dashboard := self._listeners.get("dashboard")) is not None:
            api = f"http://{self._addresses()['api']}"
            command = [*python, "littoral.dashboard", "--fd", str(dashboard.fileno()), "--api", api]
            command += ["--data-dir", str(self._data_dir)]
            if links := os.environ.get("LITTORAL_LINKS"):
                command += ["--links", links]
            self._children.append(Child("dashboard", command, [dashboard]))

    def _give_hub_its_sockets(self, hub: Child) -> None:
        """Those that there are now, when it is started next."""
        sockets = {name: each for name, each in self._listeners.items() if name not in OTHERS}
        options = [word for name, each in sockets.items() for word in ("--fd", f"{name}={each.fileno()}")]
        assert self._handover is not None, "listeners are bound first"
        hub_end = self._handover[0]
        hub.command = [*self._hub_command, OPTION, str(hub_end.fileno()), *options]
        hub.sockets = [*sockets.values(), hub_end]

    def _take_sockets(self) -> None:
        """Keep what the hub has bound since, and close what it needs no more."""
        for name, listening in handed_over(self._handover[1]) if self._handover is not None else ():
            if (before := self._listeners.pop(name, None)) is not None:
                before.close()
            if listening is not None:
                listening.set_inheritable(True)
                self._listeners[name] = listening
        for child in self._children:
            if child.name == "hub":
                self._give_hub_its_sockets(child)
        with contextlib.suppress(StorageError):
            # For commands that ask where the node listens; it listens there in any case.
            write_json(self._data_dir / API_FILE, self._addresses())

    def _cache_options(self) -> list[str]:
        """Where gateways keep HTTP answers on disk."""
        spec = self._config.spec
        directory = Path(spec.cache_directory or self._data_dir / CACHE)
        if spec.encryption is None:
            return ["--cache-dir", str(directory)]
        self._say(
            "what its gateways cache is kept in memory only: the store is encrypted, and it would lie on the disk in plain"
        )
        try:
            remove_content(directory)
        except OSError as error:
            raise storage_error("remove", str(directory), error) from error
        return []

    # Life

    def _keep_running(self) -> int:
        while True:
            now_s = self._clock.monotonic_s()
            for child in self._children:
                if child.process is None and child.due_s <= now_s:
                    self._start(child)
            if self._rollover.step():
                self._note_processes()
            signalled = self._wait_for_signal(now_s)
            if signalled in (signal.SIGTERM, signal.SIGINT):
                return 0
            self._do(signalled)
            for child in self._children:
                if child.process is not None and child.process.poll() is not None:
                    status = child.process.returncode
                    if self._is_hopeless(child, status):
                        return 1
                    self._ended(child, status)

    def _do(self, signalled: int | None) -> None:
        """What somebody asks for."""
        if signalled == signal.SIGHUP:
            self._rollover.begin(child for child in self._children if child.name.startswith(GATEWAY))
        if signalled == SIGNAL:
            self._take_sockets()
        wanted = self._children if signalled == signal.SIGUSR1 else []
        for child in wanted:
            # One that has failed waits as long as any other would.
            if child.is_on_demand and child.due_s == NEVER_S:
                child.due_s = self._clock.monotonic_s()

    def _wait_for_signal(self, now_s: float) -> int | None:
        """The next one; None once something is due without."""
        due = [child.due_s - now_s for child in self._children if child.process is None]
        if self._rollover.is_active:
            due.append(LOOK_S)
        signalled = signal.sigtimedwait(_SIGNALS, max(0.01, min([*due, LONGEST_WAIT_S])))
        return signalled.si_signo if signalled is not None else None

    def _start(self, child: Child) -> None:
        try:
            child.process = self._open(child, child.command)
        except (OSError, subprocess.SubprocessError) as error:
            # No memory, or no process to be had: that passes, and the node's other processes go on meanwhile.
            self._delay(child, f"cannot be started ({error})")
            return
        child.started_s = self._clock.monotonic_s()
        self._note_processes()

    def _start_successor(self, child: Child, ready: int) -> "subprocess.Popen[bytes] | None":
        """See `littoral.node.rollover.Start`."""
        try:
            return self._open(child, [*child.command, READY_OPTION, str(ready)], ready)
        except (OSError, subprocess.SubprocessError) as error:
            self._say(f"{child.name} cannot be started ({error})")
            return None

    def _open(self, child: Child, command: list[str], *descriptors: int) -> "subprocess.Popen[bytes]":
        """Raises OSError, SubprocessError."""
        parent = os.getpid()

        def prepare() -> None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            if not die_with_parent(parent):
                os._exit(1)

        return subprocess.Popen(
            command,
            pass_fds=[*(each.fileno() for each in child.sockets), *descriptors],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **child.environment},
            preexec_fn=prepare,  # noqa: PLW1509 -- the supervisor has one thread
        )

    def _note_processes(self) -> None:
        pids = {each.name: each.process.pid for each in self._children if each.process is not None}
        with contextlib.suppress(StorageError):
            # A convenience for operators and tests; a full disk must not keep a process from starting.
            write_json(self._data_dir / PIDS_FILE, pids)

    def _ended(self, child: Child, status: int) -> None:
        if self._was_well(child):
            child.delay_s = FIRST_DELAY_S
            self._hub_was_well = self._hub_was_well or child.name == "hub"
        if child.is_on_demand and status == 0:
            child.process, child.due_s = None, NEVER_S
            return
        self._delay(child, f"was killed by signal {-status}" if status < 0 else f"ended with status {status}")

    def _is_hopeless(self, child: Child, status: int) -> bool:
        """Whether a hub ended with EXIT_STARTUP, and neither this nor a former one was ever well."""
        if child.name != "hub" or status != EXIT_STARTUP:
            return False
        return not self._hub_was_well and not self._was_well(child)

    def _was_well(self, child: Child) -> bool:
        return self._clock.monotonic_s() - child.started_s >= WELL_S

    def _delay(self, child: Child, why: str) -> None:
        """Start it again, but later."""
        self._say(f"{child.name} {why}; starting it again in {child.delay_s:g} s")
        child.process = None
        child.due_s = self._clock.monotonic_s() + child.delay_s
        child.delay_s = min(child.delay_s * 2, self._most_delay_s)

    def _stop(self) -> None:
        """End all children: gateways first, so that what they have begun is still answered by the others."""
        replaced = self._rollover.stop()
        for process in replaced:
            process.terminate()
        running = [child for child in reversed(self._children) if child.process is not None]
        for child in running:
            assert child.process is not None
            child.process.terminate()
            if child.name.startswith(GATEWAY):
                self._wait(child.name, child.process)
        for child in running:
            assert child.process is not None
            self._wait(child.name, child.process)
        for process in replaced:
            self._wait("a gateway that was replaced", process)

    def _wait(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._say(f"{name} does not end; killing it")
            process.kill()
            process.wait()


def run_node(config: Node, data_dir: Path, token: str | None = None, document: Path | None = None) -> int:
    """Run a node in the foreground until SIGTERM or Ctrl-C; returns the exit status.

    token: a join token, needed until the node has enrolled. document: the file that says `config`, which is looked at again while
    the node runs. Raises: StartupError, StorageError.
    """
    name = config.metadata.name

    def say(line: str) -> None:
        sys.stderr.write(f"{name}: {line}\n")
        sys.stderr.flush()

    return Supervisor(config, data_dir.absolute(), token, say, document).run()


def main() -> int:
    """Entry point for programs that start nodes: the document is resolved already, the token comes in the environment."""
    parser = argparse.ArgumentParser(prog="littoral.node.supervisor")
    parser.add_argument("--config", required=True, type=Path, help="a Node document as JSON")
    parser.add_argument("--data-dir", required=True, type=Path)
    arguments = parser.parse_args()
    config = msgspec.json.decode(arguments.config.read_bytes(), type=Node)
    try:
        token = os.environ.pop(JOIN_TOKEN_VARIABLE, None)
        return run_node(config, arguments.data_dir, token, arguments.config)
    except LittoralError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
