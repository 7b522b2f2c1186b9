"""What an app does against its node and its neighbours, with real processes: each is stopped by its limit, and the neighbour answers."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from littoral.functions.messages import WorkerBounds
from tests.support.functions_node import FunctionNode, Reply, gone

NEIGHBOUR = """
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        print("neighbour")
        return Response("ok")
"""

ATTACKER = """
import asyncio, ctypes, mmap, os, resource, signal, socket, subprocess, threading
from pathlib import Path
from workers import Response, WorkerEntrypoint

held = []

def loop():
    while True:
        pass

async def loop_and_await():
    while True:
        await asyncio.sleep(0)

async def loop_in_tasks():
    await asyncio.gather(*(loop_and_await() for _ in range(3)))

async def later():
    await asyncio.sleep(0.01)
    loop()

def flood():
    for number in range(200_000):
        print("flood", number)

def open_files(path="/dev/null"):
    while True:
        held.append(open(path))

def fill(path, size=1 << 16):
    with open(path, "wb") as file:
        while True:
            file.write(bytes(size))
            file.flush()

def greeted(path):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(5)
        peer.connect(path)
        return peer.recv(1)

def allocate():
    try:
        while True:
            held.append(bytearray(1 << 20))
    except MemoryError:
        count = len(held)
        held.clear()
        return count

def start_threads():
    stop = threading.Event()
    threading.stack_size(1 << 16)
    try:
        while True:
            thread = threading.Thread(target=stop.wait, daemon=True)
            thread.start()
            held.append(thread)
    finally:
        stop.set()
        count = len(held)
        for thread in held:
            thread.join()
        held.clear()
        raise RuntimeError(f"after {count} threads")

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        try:
            result = eval(request.query["do"])
            return Response(repr(await result if asyncio.iscoroutine(result) else result))
        except Exception as error:
            held.clear()
            return Response(f"{type(error).__name__}: {error}")
"""

FORKED = 6
FORKS = """
import os, time

for _ in range(3):
    if os.fork() == 0:
        os.fork()
        print("forked", os.getpid(), flush=True)
        os.closerange(0, 200)
        while True:
            time.sleep(1)
"""


class Neighbourhood:
    """An attacker, and an app that is asked all the while."""

    def __init__(self, node: FunctionNode) -> None:
        self.node = node
        self.statuses: list[int] = []

    async def attack(self, code: str) -> Reply:
        """What the attacker answers to having run this."""
        return await self.node.get(f"/attacker?do={quote(code)}")

    async def says(self, code: str) -> str:
        """The text of that."""
        return (await self.attack(code)).body.decode()

    async def ask_on(self) -> None:
        """Until cancelled."""
        while True:
            self.statuses.append((await self.node.get("/neighbour")).status)


@contextlib.asynccontextmanager
async def attacked(
    isolation: Any = "process", *, as_root: bool = True, settings: dict[str, Any] | None = None, **bounds: Any
) -> AsyncIterator[Neighbourhood]:
    """Both apps, with these settings and bounds of the attacker. At the end, the neighbour must have answered all the while."""
    async with FunctionNode(functions_as_root=as_root) as node:
        await node.deploy("neighbour", NEIGHBOUR)
        await node.deploy("attacker", ATTACKER, bounds=WorkerBounds(isolation=isolation, **bounds), **(settings or {}))
        both = Neighbourhood(node)
        asking = asyncio.ensure_future(both.ask_on())
        try:
            yield both
            assert (await both.says("1 + 1")) == "2", "the attacker's own next request is answered as well"
            before = len(both.statuses)
            await node.until(lambda: len(both.statuses) > before or asking.done())
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        assert set(both.statuses) == {200}


def _can_be_nobody() -> bool:
    return subprocess.run(["unshare", "--user", "--", "true"], check=False, capture_output=True).returncode == 0


IS_ROOT = os.geteuid() == 0
both_ways = pytest.mark.parametrize(
    "as_root",
    [
        pytest.param(True, marks=pytest.mark.skipif(not IS_ROOT, reason="takes a node that runs as root")),
        pytest.param(
            False, marks=pytest.mark.skipif(not _can_be_nobody(), reason="user namespaces are not allowed here")
        ),
    ],
    ids=["a-user-of-its-own", "landlock"],
)
REFUSED = ("PermissionError", "FileNotFoundError", "OSError: [Errno 30] Read-only file system")


def test_loops_without_end_are_ended_by_their_cpu_time() -> None:
    async def scenario() -> None:
        async with attacked(cpu_ms=100) as both:
            (pid,) = both.node.pool("attacker").pids
            for loop in ("loop()", "loop_and_await()", "loop_in_tasks()"):
                reply = await both.attack(loop)
                assert reply.status == 500, loop
                assert "more CPU time than it may (limits.cpuTimeMs)" in reply.json()["detail"]
                said = f"[{reply.headers['x-request-id']}] interrupted: GET "
                await both.node.until(lambda: said in both.node.log())  # noqa: B023
            assert (await both.attack("self.ctx.waitUntil(later())")).status == 200
            await both.node.until(lambda: "CpuOvertime" in both.node.log().partition("given to ctx.waitUntil")[2])
            assert both.node.pool("attacker").pids == [pid]

    asyncio.run(scenario())


def test_memory_open_files_and_threads_have_bounds() -> None:
    async def scenario() -> None:
        async with attacked(settings={"memory_bytes": 64 << 20}, open_files=64, threads=40) as both:
            assert 32 <= int(await both.says("allocate()")) < 64
            assert "PermissionError" in await both.says("mmap.mmap(-1, 1 << 30)"), "shared memory is not counted"
            assert "PermissionError" in await both.says("os.memfd_create('x')")
            downwards = "mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100)"
            assert "PermissionError" in await both.says(downwards), "nor is a stack's"
            assert "ValueError" in await both.says("resource.setrlimit(resource.RLIMIT_STACK, (1 << 30, 1 << 30))")
            assert "[Errno 24] Too many open files" in await both.says("open_files()")
            if IS_ROOT:
                assert await both.says("start_threads()") == "RuntimeError: after 39 threads"

    asyncio.run(scenario())


@both_ways
def test_what_its_packages_forked_ends_before_its_user_is_anothers(as_root: bool) -> None:
    async def scenario() -> None:
        async with FunctionNode(functions_as_root=as_root) as node:
            package = node.home / "apps" / "attacker-1" / "python_modules" / "evil"
            package.mkdir(parents=True)
            (package / "__init__.py").write_text(FORKS)
            await node.deploy("attacker", NEIGHBOUR)
            if not as_root:
                # Then packages are not imported before the app is, in its own worker, which forks nothing.
                assert ": forked " not in node.log()
                return
            await node.until(lambda: node.log().count(": forked ") == FORKED)
            forked = [int(said.split()[0]) for said in node.log().split(": forked ")[1:]]
            del node.apps["attacker"]
            node.publish()
            await node.until(lambda: all(map(gone, forked)))

    asyncio.run(scenario())


@both_ways
def test_an_app_is_one_process_and_alone(as_root: bool) -> None:
    async def scenario() -> None:
        async with attacked(as_root=as_root) as both:
            for code in ("os.fork()", "subprocess.run(['/bin/true'])", "os.execv('/bin/true', ['true'])"):
                assert await both.says(code) == "PermissionError: [Errno 1] Operation not permitted", code
            assert "PermissionError" in await both.says("os.posix_spawn('/bin/true', ['true'], {})")
            assert await both.says("asyncio.to_thread(int, '7')") == "7", "threads are its own business"
            node = both.node
            for pid in (node.processes["zygote"].pid, node.pool("neighbour").pids[0], os.getpid()):
                for code in (f"os.kill({pid}, 0)", f"os.kill(-{pid}, 9)", "os.kill(0, 9)", f"os.pidfd_open({pid})"):
                    assert "PermissionError" in await both.says(code), code
                for name in ("environ", "mem", "maps", "fd/0", "root/etc/passwd"):
                    said = await both.says(f"open('/proc/{pid}/{name}', 'rb').read(1)")
                    assert said.startswith(REFUSED), (name, said)
                assert await both.says(f"ctypes.CDLL(None).ptrace(16, {pid}, 0, 0)") == "-1"
            assert await both.says("open('/proc/self/status').read()[:5]") == "'Name:'"

    asyncio.run(scenario())


@both_ways
def test_files_and_sockets_of_the_node_and_of_other_apps_are_out_of_reach(as_root: bool) -> None:
    async def scenario() -> None:
        async with attacked(as_root=as_root) as both:
            node = both.node
            secret = node.home / "identity.key"
            secret.write_text("private")
            code = node.home / "apps" / "neighbour-1" / "main.py"
            for path in (secret, code, node.run / "gateway.msgpack", node.home / "log", Path("/etc/passwd")):
                assert path.exists()
                said = await both.says(f"open({str(path)!r}).read()")
                assert said.startswith(REFUSED), (path, said)
            for folder in (node.home, node.run, code.parent, Path("/etc"), Path("/home")):
                said = await both.says(f"sorted(os.listdir({str(folder)!r}))")
                assert said.startswith(REFUSED) or not {"identity.key", "main.py", "passwd"} & set(eval(said)), said
            (socket,) = node.runtime.sockets(node.apps["neighbour"])
            assert _exists(socket)
            said = await both.says("open('/proc/self/net/unix').read()")
            assert as_root or said.startswith(REFUSED), "where it cannot see them, it may know of them"
            for folder in (node.run / "fn", Path(socket).parent):
                assert (await both.says(f"os.listdir({str(folder)!r})")).startswith(REFUSED)
            # Landlock does not know of connecting: who listens there closes.
            for name in ("zygote.sock", "hub.sock"):
                said = await both.says(f"greeted({str(node.run / name)!r})")
                assert said == "b''" or said.startswith((*REFUSED, "ConnectionResetError")), said

    asyncio.run(scenario())


@both_ways
def test_nothing_is_written_but_temporary_files_and_these_are_bounded(as_root: bool) -> None:
    async def scenario() -> None:
        async with attacked(as_root=as_root, temporary_bytes=1 << 20) as both:
            # Not only because it is somebody else's.
            os.chmod(both.node.apps["attacker"].directory, 0o777)
            for path in ("main.py", "new", "/usr/new", "/new", "/dev/shm/new", str(both.node.run / "new")):
                said = await both.says(f"open({path!r}, 'w').write('x')")
                assert said.startswith(REFUSED), (path, said)
            for path in ("/dev/zero", "/dev/null", "/dev/full", "/dev/random"):
                said = await both.says(f"mmap.mmap(os.open({path!r}, os.O_RDWR), 1 << 20)")
                assert said.startswith((*REFUSED, "OSError: [Errno 19]")), (
                    "what is mapped of it and shared is not counted"
                )
            for change in ("os.chmod(path, 0o777)", "os.utime(path, (1, 1))"):
                await both.says(change.replace("path", repr(both.node.apps["attacker"].directory + "/main.py")))
            main = os.stat(both.node.apps["attacker"].directory + "/main.py")
            assert (main.st_mode & 0o777 != 0o777, main.st_mtime != 1) == (True, True)
            assert await both.says("Path(os.environ['TMPDIR'], 'a').write_text('kept')") == "4"
            said = await both.says("fill(os.environ['TMPDIR'] + '/b')")
            assert said == f"OSError: [Errno {'28] No space left on device' if as_root else '27] File too large'}"
            assert await both.says("Path(os.environ['TMPDIR'], 'a').read_text()") == "'kept'"
            if not as_root:
                kept = both.node.run / "tmp" / "attacker" / "a"
                assert _exists(str(kept))
                both.node.runtime.kill("attacker", both.node.pool("attacker").pids[0])
                await both.node.until(lambda: not _exists(str(kept)))

    asyncio.run(scenario())


@both_ways
def test_a_sandbox_has_no_network_and_a_process_has(as_root: bool) -> None:
    async def scenario() -> None:
        async with attacked("sandbox", as_root=as_root) as both:
            connect = f"socket.create_connection(('127.0.0.1', {both.node.port})).close()"
            assert await both.says(connect) == "PermissionError: [Errno 1] Operation not permitted"
            for family in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"):
                assert "PermissionError" in await both.says(f"socket.socket(socket.{family})"), family
            await both.node.deploy("attacker", ATTACKER, revision="2")
            assert await both.says(connect) == "None"
            assert "PermissionError" in await both.says("socket.socket(socket.AF_NETLINK)")

    asyncio.run(scenario())


def test_a_flood_of_lines_is_left_out_and_counted_and_others_are_heard() -> None:
    async def scenario() -> None:
        async with attacked(log_lines=50, log_bytes=1 << 18) as both:
            assert await both.says("flood()") == "None"
            left_out = "lines were left out: more than 50 lines or 262144 bytes in a second"
            await both.node.until(lambda: left_out in both.node.log())
            assert both.node.log().count("attacker-0: flood") <= 50 * 60
            # What a request prints is in the log a moment after its answer.
            answered = len(both.statuses)
            await both.node.until(lambda: both.node.log().count("neighbour-0: neighbour") >= answered)

    asyncio.run(scenario())


def test_requests_at_once_and_bodies_have_bounds_of_the_app() -> None:
    async def scenario() -> None:
        async with attacked(concurrency=2, request_bytes=1000, response_bytes=1000) as both:
            node = both.node
            replies = await asyncio.gather(*(both.attack("asyncio.sleep(2)") for _ in range(3)))
            assert sorted(reply.status for reply in replies) == [200, 200, 503]
            for length, status in ((1000, 200), (1001, 413)):
                posted = await node.get("/attacker?do=1", method="POST", body=bytes(length))
                assert posted.status == status
            long = await both.attack("'x' * 2000")
            assert (long.status, long.json()["cause"]) == (500, "its response is too large")
            said = "was answered with a response of more than 1000 bytes (limits.responseBytes)"
            await node.until(lambda: said in node.log())

    asyncio.run(scenario())


@pytest.mark.skipif(not IS_ROOT, reason="takes a node that runs as root")
def test_each_app_has_a_user_of_its_own_and_no_capabilities() -> None:
    async def scenario() -> None:
        async with attacked() as both:
            pids = [both.node.pool(name).pids[0] for name in ("attacker", "neighbour")]
            statuses = [_status(pid) for pid in pids]
            users = {line for status in statuses for line in status.splitlines() if line.startswith("Uid:")}
            assert len(users) == 2
            assert "Uid:\t0" not in "".join(users)
            for status in statuses:
                for line in ("CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
                    assert line in status

    asyncio.run(scenario())


def _exists(path: str) -> bool:
    return Path(path).exists()


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
