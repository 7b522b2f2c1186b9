"""A real node to measure: the processes that `littoral node run` starts, alone as a root, with resources applied."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from benches.harness import DEADLINE_S, process_cpu_s
from littoral.core.resources.model import Listen, Node, NodeSpec, Parent
from littoral.core.resources.mqtt import Mqtt
from littoral.core.resources.part import Metadata
from littoral.fleet.desired import DesiredRecord
from littoral.node.layout import JOIN_TOKEN_VARIABLE, PIDS_FILE, read_addresses
from littoral.node.status import NodeStatus
from littoral.security.identity import CERTIFICATE_PATH
from littoral.security.operator import TOKEN_PATH

NAME = "bench"
_ANY = "127.0.0.1:0"


class BenchNode:
    """One running node."""

    def __init__(self, data_dir: Path, supervisor: int) -> None:
        """supervisor: its process id."""
        self.data_dir = data_dir
        self.supervisor = supervisor
        self.token = (data_dir / TOKEN_PATH).read_text(encoding="ascii").strip()
        self._addresses = read_addresses(data_dir)

    def port(self, listener: str) -> int:
        """Where a listener is."""
        return int(self._addresses[listener].rpartition(":")[2])

    def pids(self) -> dict[str, int]:
        """Process ids, by the name of the process."""
        return msgspec.json.decode((self.data_dir / PIDS_FILE).read_bytes(), type=dict[str, int])

    def hub_cpu_s(self) -> float:
        """Processor time of the hub."""
        return process_cpu_s(self.pids()["hub"])

    def call(self, method: str, path: str, body: bytes = b"", content_type: str = "application/octet-stream") -> bytes:
        """One request to the operator API."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port("api"), timeout=DEADLINE_S)
        with contextlib.closing(connection):
            headers = {"authorization": f"Bearer {self.token}", "content-type": content_type}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {said!r}")
            return said

    def status(self) -> NodeStatus:
        """The node now."""
        return msgspec.json.decode(self.call("GET", "/v1/status"), type=NodeStatus)

    def apply(self, records: Sequence[DesiredRecord]) -> None:
        """Make resources desired, and wait until the node runs them."""
        self.call("POST", "/v1/resources", msgspec.msgpack.encode(records))
        rules = {record.name for record in records if record.kind == "Rule"}
        apps = {record.name for record in records if record.kind == "App"}

        def all_run() -> bool:
            status = self.status()
            ready = {name for name, app in status.apps.items() if app.workers}
            return rules <= set(status.rules) and apps <= ready

        wait_for(all_run)


@contextlib.contextmanager
def running_node(
    directory: Path,
    name: str = NAME,
    parent: BenchNode | None = None,
    limits: Mapping[str, int] = MappingProxyType({}),
    mqtt: str = _ANY,
) -> Iterator[BenchNode]:
    """A root, or a child, with every listener but the dashboard's, until the block ends; its data is in the folder
    `node`, or as it is named, and stays there. limits: those that are not the defaults. mqtt: the address of that listener."""
    data_dir = directory / ("node" if name == NAME else name)
    data_dir.mkdir(mode=0o700, exist_ok=True)
    above = None
    if parent is not None:
        above = Parent(
            url=f"https://127.0.0.1:{parent.port('peer')}", join_url=f"https://127.0.0.1:{parent.port('join')}"
        )
    config = Node(
        api_version="littoral/v1",
        metadata=Metadata(name=name),
        spec=NodeSpec(
            tier="cloud" if parent is None else "site",
            parent=above,
            listen=Listen(api=_ANY, peer=_ANY, join=_ANY, gateway=_ANY, mqtt=mqtt),
            mqtt=Mqtt(anonymous=True),
            limits=dict(limits),
        ),
    )
    document = directory / f"{name}.json"
    document.write_bytes(msgspec.json.encode(config))
    command = [sys.executable, "-m", "littoral.node.supervisor", "--config", str(document), "--data-dir", str(data_dir)]
    environment = dict(os.environ)
    if parent is not None and not (data_dir / CERTIFICATE_PATH).exists():
        answer = parent.call("POST", "/v1/tokens", msgspec.json.encode({"node": name}))
        environment[JOIN_TOKEN_VARIABLE] = json.loads(answer)["token"]
    log = directory / f"{name}.log"
    (data_dir / PIDS_FILE).unlink(missing_ok=True)
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=environment) as supervisor,
    ):
        try:
            wait_for(lambda: (data_dir / TOKEN_PATH).exists() and (data_dir / PIDS_FILE).exists(), supervisor, log)
            node = BenchNode(data_dir, supervisor.pid)
            wait_for(lambda: _answers(node, name), supervisor, log)
            yield node
        finally:
            supervisor.send_signal(signal.SIGTERM)
            try:
                supervisor.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                os.kill(supervisor.pid, signal.SIGKILL)


def wait_for(
    condition: Callable[[], bool], process: "subprocess.Popen[bytes] | None" = None, log: Path | None = None
) -> None:
    """Return once the condition holds. Raises RuntimeError if it does not in time, or the process ends."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        if condition():
            return
        time.sleep(0.02)
    raise RuntimeError(f"the node did not come up\n{log.read_text(errors='replace') if log else ''}")


def _answers(node: BenchNode, name: str) -> bool:
    try:
        return node.status().node == name
    except (OSError, http.client.HTTPException, json.JSONDecodeError):
        return False
