"""An egress in the test's own process, and functions that ask through it."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from littoral.core.tasks import Tasks
from littoral.drivers.clock import SystemClock
from littoral.functions.hub.bindings import Credentials
from littoral.functions.hub.egress_config import EgressApp, EgressConfig, write_config
from littoral.functions.places import EGRESS
from littoral.functions.worker.egress_client import EgressClient
from littoral.node.egress_server import EgressServer
from littoral.workers import Env, Request, platform
from littoral.workers.platform import Platform

KEY = b"e" * 32
LOOPBACK = ("127.0.0.1",)


class Egress:
    """See `running_egress`."""

    def __init__(self, home: Path, names: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self.home = home
        self.looked_up: list[str] = []
        self.lines: list[str] = []
        self.faults: list[BaseException] = []
        self._names = {name: list(answers) for name, answers in names.items()}
        self._tasks = Tasks(self.faults.append)
        self.configure()
        self.server = self._server()
        self._clients: list[EgressClient] = []

    def _server(self) -> EgressServer:
        return EgressServer(self.home, self._look_up, SystemClock(), self._tasks, self.lines.append)

    async def restart(self) -> None:
        """Another process takes its place."""
        self.server = self._server()
        await self.server.start()

    def configure(
        self,
        *rules: str,
        only_listed: bool = False,
        apps: Sequence[str] = ("shop",),
        limits: Mapping[str, int] | None = None,
    ) -> None:
        """Place these apps, and no others."""
        placed = [EgressApp(app, list(rules), only_listed) for app in apps]
        write_config(self.home, EgressConfig(KEY, placed, dict(limits or {})))

    async def _look_up(self, host: str) -> list[str]:
        """The next of a name's answers; the last one again and again."""
        self.looked_up.append(host)
        if host not in self._names:
            raise OSError("no such name")
        answers = self._names[host]
        return list(answers.pop(0) if len(answers) > 1 else answers[0])

    def client(
        self, app: str = "shop", *, credential: str | None = None, at_once: int = 6, wait_s: float = 5.0
    ) -> EgressClient:
        """A worker's."""
        shown = Credentials(KEY).issue(app, 0) if credential is None else credential
        client = EgressClient(str(self.home / EGRESS), shown, at_once, wait_s)
        self._clients.append(client)
        return client

    def use(self, client: EgressClient) -> None:
        """Let `workers.fetch` ask through it, for a request of its own."""
        platform.install(Platform(subrequest=client.send, carry=client.carry), Env({}))
        platform.current.set(Request("http://shop.test/", id="request-1"))

    async def stop(self) -> None:
        for client in self._clients:
            client.close()
        await self.server.stop()
        await self._tasks.stop()


@contextlib.asynccontextmanager
async def running_egress(**names: Sequence[Sequence[str]]) -> AsyncIterator[Egress]:
    """names: of each name what is said of its addresses, one time after the other; "_" stands for ".". `workers.fetch` asks
    through it, as app shop, which may ask at the loopback."""
    with tempfile.TemporaryDirectory(prefix="lit") as folder:
        egress = Egress(Path(folder), {name.replace("_", "."): answers for name, answers in names.items()})
        egress.configure(*LOOPBACK)
        await egress.server.start()
        egress.use(egress.client())
        try:
            yield egress
        finally:
            platform.install(Platform(), Env({}))
            await egress.stop()
            assert not egress.faults, egress.faults
