"""A whole tree on one machine, for trying Littoral out and for its demo: real nodes, real sockets, and a relay in the
place of every WAN.

    cloud ── (WAN) ── eu ── (WAN) ── plant-a
                       └─── (WAN) ── plant-b

Each node is the process that `littoral node run` would start, with a data directory below the tree's state directory.
`tree.json` there says where everything is; the CLI's --tree and --node read it.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import PeerUnreachable, StartupError, Unauthenticated
from littoral.core.limits import Limits
from littoral.core.random import Random
from littoral.core.resources import Node, Tier
from littoral.core.resources.model import Listen, NodeSpec, Parent
from littoral.core.resources.mqtt import Mqtt, MqttUser
from littoral.core.resources.part import Metadata
from littoral.core.transport import Transport
from littoral.drivers.http_server import HttpServer
from littoral.drivers.link import Target, WanLink
from littoral.drivers.listeners import listen_tcp
from littoral.drivers.process import die_with_parent
from littoral.node.layout import JOIN_TOKEN_VARIABLE, PIDS_FILE, read_addresses, write_json
from littoral.node.link_control import LinkControl
from littoral.node.operator_client import OperatorClient
from littoral.security.operator import TOKEN_PATH
from littoral.security.passwords import hash_password

TREE_FILE = "tree.json"
LINKS_FILE = "links.json"
LINKS_VARIABLE = "LITTORAL_LINKS"
UP_TIMEOUT_S = 60.0
POLL_S = 0.05
LINKED = ("peer", "join", "relay")
"""Listeners of a parent that its children reach over their WANs."""
RETRY_CAP_MS = 2_000
"""On one machine a link comes back when a person says so, who should not have to wait half a minute."""


class Plan(msgspec.Struct, frozen=True):
    """One node of the tree to start."""

    name: str
    tier: Tier
    parent: str | None = None
    mqtt: bool = False
    dashboard: bool = False


DEFAULT_PLAN = (
    Plan("cloud", "cloud", dashboard=True),
    Plan("eu", "region", "cloud"),
    Plan("plant-a", "site", "eu", mqtt=True),
    Plan("plant-b", "site", "eu", mqtt=True),
)


def other_ports(plan: Sequence[Plan]) -> int:
    """How many ports come before those of the relays, which nobody needs to know: one for the links' API, and of each node api,
    peer, join, gateway, and mqtt and dashboard where it has them."""
    return 1 + sum(4 + each.mqtt + each.dashboard for each in plan)


class NodeEntry(msgspec.Struct, frozen=True, rename="camel"):
    """A node as tree.json describes it."""

    tier: Tier
    parent: str | None
    data_dir: str
    api: str
    gateway: str
    mqtt: str | None
    """host:port."""


class TreeFile(msgspec.Struct, frozen=True):
    """What tree.json holds. Readable by its owner only: it holds passwords."""

    nodes: dict[str, NodeEntry]
    links: dict[str, str]
    """url and token of the link control."""
    dashboard: str | None
    mqtt: dict[str, str]
    """username and password of the devices."""
    pid: int
    """Of the process that owns the tree."""


class LocalTree:
    """Starts, holds and stops a tree. Use as `async with`."""

    def __init__(
        self,
        state_dir: Path,
        transport: Transport,
        clock: Clock,
        random: Random,
        *,
        plan: Sequence[Plan] = DEFAULT_PLAN,
        round_trip_ms: float = 150.0,
        base_port: int = 0,
        progress: Callable[[str], None] = lambda text: None,
        environments: Mapping[str, Mapping[str, str]] = {},
    ) -> None:
        """round_trip_ms: of each WAN. base_port: of the first listener, the others follow; 0 takes free ports.
        progress: told in words what is being done. environments: by node, variables of its processes beside ours."""
        self.state_dir = state_dir.absolute()
        self.clients: dict[str, OperatorClient] = {}
        self.links: dict[str, WanLink] = {}
        self.file: TreeFile | None = None
        self._transport = transport
        self._clock = clock
        self._random = random
        self._plan = plan
        self._one_way_ms = round_trip_ms / 2
        self._next_port = base_port
        self._next_relay_port = base_port + other_ports(plan) if base_port else 0
        self._progress = progress
        self._environments = environments
        self._limits = Limits()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._configs: dict[str, Node] = {}
        self._control: HttpServer | None = None
        self._listener: socket.socket | None = None
        self._failures: list[BaseException] = []
        self._password = random.token_bytes(12).hex()

    async def __aenter__(self) -> Self:
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.state_dir / "logs").mkdir(exist_ok=True)
        try:
            await self._start_control()
            user = MqttUser(username="device", password_hash=hash_password(self._password, self._random))
            for each in self._plan:
                self._progress(f"starting {each.name}")
                await self._start_node(each, user)
            self._write()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End all nodes and links."""
        for process in reversed(self._processes.values()):
            process.terminate()
            await asyncio.to_thread(process.wait)
        self._processes.clear()
        for link in self.links.values():
            await link.stop()
        if self._control is not None:
            await self._control.stop()
        if self._listener is not None:
            self._listener.close()
        (self.state_dir / TREE_FILE).unlink(missing_ok=True)

    async def restart(self, node: str) -> None:
        """Start a node again whose supervisor was killed. It listens where it did only if the ports are fixed.

        Raises: StartupError.
        """
        await asyncio.to_thread(self._processes[node].wait)
        await self._spawn(node, self._configs[node], None)

    def pids(self, node: str) -> dict[str, int]:
        """Process ids of a node's processes, by name."""
        path = self.state_dir / node / PIDS_FILE
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])

    def log(self, node: str) -> Path:
        """Where a node's processes write what they have to say."""
        return self.state_dir / "logs" / f"{node}.log"

    async def wait_up(self, node: str) -> None:
        """Return once the node's hub answers. Raises StartupError with the end of its log if it does not."""
        client = self.clients[node]
        try:
            async with asyncio.timeout(UP_TIMEOUT_S):
                while True:
                    self._check_running(node)
                    try:
                        await client.status()
                    except (PeerUnreachable, Unauthenticated):
                        await asyncio.sleep(POLL_S)
                    else:
                        return
        except TimeoutError as error:
            raise self._not_up(node, f"it did not answer within {UP_TIMEOUT_S:g} s") from error

    # Parts

    async def _start_control(self) -> None:
        token = self._random.token_bytes(24).hex()
        self._listener = listen_tcp(self._address())
        host, port = self._listener.getsockname()
        self._links_access = {"url": f"http://{host}:{port}", "token": token}
        write_json(self.state_dir / LINKS_FILE, self._links_access)
        self._control = HttpServer(LinkControl(self.links, token).handle, self._listener.fileno(), self._limits)
        await self._control.start()

    async def _start_node(self, plan: Plan, user: MqttUser) -> None:
        token = None
        parent = None
        if plan.parent is not None:
            link = await self._link(plan.name, plan.parent)
            urls = {name: f"https://127.0.0.1:{link.port(name)}" for name in LINKED}
            parent = Parent(url=urls["peer"], join_url=urls["join"], relay_url=urls["relay"])
            if not (self.state_dir / plan.name / "identity" / "cert.pem").exists():
                token = await self.clients[plan.parent].create_token(plan.name)
        config = Node(
            api_version="littoral/v1",
            metadata=Metadata(name=plan.name),
            spec=NodeSpec(
                tier=plan.tier,
                parent=parent,
                listen=Listen(
                    api=self._address(),
                    peer=self._address(),
                    join=self._address(),
                    gateway=self._address(),
                    relay=self._relay_address() if any(each.parent == plan.name for each in self._plan) else None,
                    mqtt=self._address() if plan.mqtt else None,
                    dashboard=self._address() if plan.dashboard else None,
                ),
                mqtt=Mqtt(users=[user]) if plan.mqtt else Mqtt(),
                status_interval="1s",
                limits={"retry-delay-ms": RETRY_CAP_MS},
            ),
        )
        self._configs[plan.name] = config
        await self._spawn(plan.name, config, token)

    async def _link(self, child: str, parent: str) -> WanLink:
        addresses = read_addresses(self.state_dir / parent)
        targets = []
        for name in LINKED:
            host, _, port = addresses[name].rpartition(":")
            targets.append(Target(name, host, int(port)))
        link = self.links[child] = WanLink(child, targets, self._clock, self._limits, self._failures.append)
        link.delay(self._one_way_ms)
        await link.start()
        return link

    async def _spawn(self, node: str, config: Node, token: str | None) -> None:
        data_dir = self.state_dir / node
        data_dir.mkdir(mode=0o700, exist_ok=True)
        (data_dir / "run" / "api.json").unlink(missing_ok=True)
        document = self.state_dir / f"{node}.json"
        write_json(document, config)
        environment = {
            **os.environ,
            LINKS_VARIABLE: str(self.state_dir / LINKS_FILE),
            **self._environments.get(node, {}),
        }
        if token is not None:
            environment[JOIN_TOKEN_VARIABLE] = token
        self._processes[node] = _supervise(document, data_dir, self.log(node), environment)
        await self._await_api(node, data_dir)
        await self.wait_up(node)

    async def _await_api(self, node: str, data_dir: Path) -> None:
        """The node's addresses and operator token, as soon as it has written them."""
        try:
            async with asyncio.timeout(UP_TIMEOUT_S):
                while not ((data_dir / TOKEN_PATH).exists() and (data_dir / "run" / "api.json").exists()):
                    self._check_running(node)
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise self._not_up(node, f"it was not up within {UP_TIMEOUT_S:g} s") from error
        token = (data_dir / TOKEN_PATH).read_text(encoding="ascii").strip()
        url = f"http://{read_addresses(data_dir)['api']}"
        self.clients[node] = OperatorClient(self._transport, url, token)

    def _write(self) -> None:
        nodes: dict[str, NodeEntry] = {}
        dashboard = None
        for plan in self._plan:
            addresses = read_addresses(self.state_dir / plan.name)
            nodes[plan.name] = NodeEntry(
                tier=plan.tier,
                parent=plan.parent,
                data_dir=str(self.state_dir / plan.name),
                api=f"http://{addresses['api']}",
                gateway=f"http://{addresses['gateway']}",
                mqtt=addresses.get("mqtt"),
            )
            if "dashboard" in addresses:
                dashboard = f"http://{addresses['dashboard']}"
        devices = {"username": "device", "password": self._password}
        self.file = TreeFile(nodes, self._links_access, dashboard, devices, os.getpid())
        write_json(self.state_dir / TREE_FILE, self.file)

    def _address(self) -> str:
        port = self._next_port
        if port:
            self._next_port += 1
        return f"127.0.0.1:{port}"

    def _relay_address(self) -> str:
        port = self._next_relay_port
        if port:
            self._next_relay_port += 1
        return f"127.0.0.1:{port}"

    def _check_running(self, node: str) -> None:
        process = self._processes[node]
        if process.poll() is not None:
            raise self._not_up(node, f"it ended with status {process.returncode}")

    def _not_up(self, node: str, cause: str) -> StartupError:
        lines = self.log(node).read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        said = "\n  ".join(lines)
        return StartupError("start node", node, f"{cause}; its log ends with:\n  {said}\n", f"See {self.log(node)}")


def _supervise(document: Path, data_dir: Path, log: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start a node's supervisor. It dies with this process, and does not hear its Ctrl-C."""
    parent = os.getpid()
    command = [sys.executable, "-m", "littoral.node.supervisor", "--config", str(document), "--data-dir", str(data_dir)]
    with open(log, "ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: None if die_with_parent(parent) else os._exit(1),  # noqa: PLW1509 -- calls prctl only
        )


def stop_on_signals(stopped: asyncio.Event) -> None:
    """Set `stopped` on Ctrl-C and SIGTERM."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
