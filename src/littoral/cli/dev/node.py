"""The node that a project runs in while it is developed: a real one, with its data below the project's folder."""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Self

import msgspec

from littoral.cli.dev.remote import RemoteDesk
from littoral.cli.targets import TOKEN_VARIABLE
from littoral.cli.tree_file import DEV_NODE, TREE_DIRECTORY
from littoral.core.errors import Conflict, NotFound, PeerUnreachable, StartupError, TimedOut, Unauthenticated
from littoral.core.resources import Node
from littoral.core.resources.access_log import AccessLog
from littoral.core.resources.model import Listen, NodeSpec
from littoral.core.resources.part import Metadata
from littoral.core.transport import Transport
from littoral.drivers.process import die_with_parent
from littoral.fleet.desired import DesiredRecord
from littoral.node.app_messages import PATH as APPS
from littoral.node.app_messages import AppEntry
from littoral.node.binding_messages import CREDENTIAL_FILE
from littoral.node.blob_messages import PATH as BLOBS
from littoral.node.blob_messages import Announcement
from littoral.node.layout import RUN, SHOW_ERRORS_VARIABLE, read_addresses
from littoral.node.operator_client import OperatorClient
from littoral.node.operator_messages import ResourceEntry
from littoral.projects.build import Built
from littoral.security.operator import TOKEN_PATH
from littoral.store.blob_rows import blob_name
from littoral.wire.peer import BlobMark

NAME = "dev"
START_S = 30.0
RUN_S = 30.0
"""How long an app may take to start, at most; its import has a limit of its own."""
POLL_S = 0.005
PIECE_BYTES = 4 << 20
LONGEST_PATH = 60
"""Of a data directory: sockets below it have names, and the kernel bounds their paths at 107 bytes."""
LINE_BYTES = 1 << 20


class DoesNotStart(Conflict):
    """A revision's code cannot be imported."""


class DevNode:
    """Use as `async with`; when that ends, no process of it is left."""

    def __init__(
        self,
        project: Path,
        port: int,
        transport: Transport,
        say: Callable[[str], None],
        remote: RemoteDesk | None = None,
    ) -> None:
        """port: of its gateway. say: takes lines that its processes and the app's workers write. remote: answers for the bindings
        that are another node's; None where there are none."""
        self.data_dir = project / TREE_DIRECTORY / DEV_NODE
        self._port = port
        self._transport = transport
        self._say = say
        self._remote = remote
        self._stack = contextlib.AsyncExitStack()
        self._client: OperatorClient

    async def __aenter__(self) -> Self:
        try:
            place = self._stack.enter_context(self._short_path())
            (place / RUN).mkdir(mode=0o700, exist_ok=True)
            # Of a command that was killed.
            (place / RUN / CREDENTIAL_FILE).unlink(missing_ok=True)
            if self._remote is not None:
                await self._stack.enter_async_context(self._remote.serving(place / RUN))
            process = await self._spawn(place)
            self._stack.push_async_callback(_end, process)
            await self._until_up(place, process)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self, built: Built) -> None:
        """Run a revision; returns once it answers. Raises: Conflict where it does not start, and what the node answers."""
        await self._send(built)
        await self.want(built)
        try:
            async with asyncio.timeout(RUN_S):
                await self._until_running(built.app)
        except TimeoutError:
            raise TimedOut("start", built.app.key, f"it does not answer after {RUN_S:g} s") from None

    async def withdraw(self, app: DesiredRecord) -> None:
        """Run an app no more."""
        await self._client.apply([DesiredRecord(app.kind, app.name, "", None)])

    async def want(self, built: Built) -> None:
        """Let a revision be the desired one, whose code is there."""
        there = msgspec.json.decode((await self._client.call("GET", "/v1/resources")).body, type=list[ResourceEntry])
        known = {(each.kind, each.name) for each in there}
        records = list(built.file.records)
        records += [each for each in built.file.defaults if (each.kind, each.name) not in known]
        # The project may have been called otherwise before: there is one port, and one app answers at it.
        others = [each.name for each in there if each.kind == "App" and each.name != built.app.name]
        records += [DesiredRecord("App", name, "", None) for name in others]
        await self._client.apply(records)

    async def _send(self, built: Built) -> None:
        """Code that is not in records; what the node has is not sent."""
        for digest, blob in built.file.blobs.items():
            announcement = msgspec.json.encode(Announcement(blob_name(digest), len(blob)))
            mark = _mark((await self._client.call("POST", BLOBS, announcement)).body)
            while not mark.complete:
                piece = blob[mark.have : mark.have + PIECE_BYTES]
                path, query = f"{BLOBS}/{blob_name(digest)}", {"offset": str(mark.have)}
                mark = _mark((await self._client.call("PATCH", path, piece, query)).body)

    async def _until_running(self, app: DesiredRecord) -> None:
        while True:
            entries = msgspec.json.decode((await self._client.call("GET", APPS)).body, type=list[AppEntry])
            here = next((each.here for each in entries if each.name == app.name), None)
            if here is not None and here.revision == app.revision:
                if here.running == app.revision:
                    return
                if here.problem and not here.progress:
                    raise DoesNotStart("start", f"{app.name}, revision {app.revision}", here.problem)
            await asyncio.sleep(POLL_S)

    # Its processes

    @contextlib.contextmanager
    def _short_path(self) -> Iterator[Path]:
        """The data directory, or a link to it."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if len(os.fsencode(self.data_dir.absolute())) <= LONGEST_PATH:
            yield self.data_dir.absolute()
            return
        with tempfile.TemporaryDirectory(prefix="lit") as folder:
            link = Path(folder, "d")
            link.symlink_to(self.data_dir.absolute(), target_is_directory=True)
            yield link

    async def _spawn(self, place: Path) -> asyncio.subprocess.Process:
        config = Node(
            api_version="littoral/v1",
            metadata=Metadata(name=NAME),
            spec=NodeSpec(
                tier="cloud",
                listen=Listen(api="127.0.0.1:0", gateway=f"127.0.0.1:{self._port}"),
                gateways=1,
                access_log=AccessLog(),
            ),
        )
        document = place / "node.json"
        document.write_bytes(msgspec.json.encode(config))
        parent = os.getpid()
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "littoral.node.supervisor", "--config", str(document), "--data-dir", str(place)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            env={**_environment(), SHOW_ERRORS_VARIABLE: "1"},
            # Ctrl-C is for the command, which then ends it.
            start_new_session=True,
            preexec_fn=lambda: None if die_with_parent(parent) else os._exit(1),
        )

    async def _until_up(self, place: Path, process: asyncio.subprocess.Process) -> None:
        """Raises StartupError with what its processes said."""
        said: list[str] = []
        relaying = asyncio.get_running_loop().create_task(self._relay(process, said))
        self._stack.callback(relaying.cancel)
        try:
            async with asyncio.timeout(START_S):
                while not await self._is_up(place):
                    if process.returncode is not None:
                        await relaying
                        raise StartupError("start", "the project's node", "\n".join(said[-3:]), f"See {self.data_dir}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            cause = f"it does not answer after {START_S:g} s: {' '.join(said[-3:])}"
            raise StartupError("start", "the project's node", cause) from None

    async def _is_up(self, place: Path) -> bool:
        try:
            token = (place / TOKEN_PATH).read_text(encoding="ascii").strip()
            client = OperatorClient(self._transport, f"http://{read_addresses(place)['api']}", token)
            if (await client.status()).gateway is None:
                return False
        except (OSError, StartupError, PeerUnreachable, Unauthenticated, NotFound):
            return False
        self._client = client
        return True

    async def _relay(self, process: asyncio.subprocess.Process, said: list[str]) -> None:
        async for line in _lines(process):
            said.append(line)
            del said[:-3]
            self._say(line)


def _environment() -> dict[str, str]:
    """Of the node: that of the command, without the operator's token for another one. Apps' code finds in it what is left."""
    return {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    assert process.stderr is not None
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:
            # Longer than any of ours; what there is of it is dropped.
            continue
        if not line:
            return
        yield line.decode("utf-8", "replace").rstrip("\n")


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


def _mark(body: bytes) -> BlobMark:
    return msgspec.json.decode(body, type=BlobMark)
