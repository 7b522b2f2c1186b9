"""What an app may do to the zygote, which starts the workers of all apps, with real processes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.support.functions_node import FunctionNode

HELLO = """
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("hello")
"""
SECRET = b"SECRET-of-" + b"another-app"
"""In two parts: the zygote's memory is looked through for the whole."""
CREDENTIAL = b"neighbour 0 "
SAYS_UNASKED = "import os, socket\nsocket.socket(fileno=os.dup(4)).send(b'-')\n"
NAMES_ITSELF = """
from littoral.functions.zygote import preload
def fork(zygote, descriptors, *others):
    others[-2].send(b"+")
    return True
preload._fork_for = fork
"""
NAMES_A_CHILD_OF_ITS_OWN = """
import os, time
from littoral.functions.zygote import preload
def fork(zygote, descriptors, *others):
    environment = os.getpid()
    if os.fork() == 0:
        others[-2].send(b"+")
        while os.getppid() == environment:
            time.sleep(0.01)
        os._exit(0)
    return True
preload._fork_for = fork
"""
FLOODS = """
import os
while True:
    os.write(3, bytes(65536))
"""


def run(scenario: Callable[[FunctionNode], Awaitable[None]], **options: object) -> None:
    async def main() -> None:
        async with FunctionNode(**options) as node:  # type: ignore[arg-type]
            await scenario(node)

    asyncio.run(main())


def memory_of(pid: int) -> Iterator[bytes]:
    """All that a process has written, one mapping at a time."""
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
            start, end = (int(each, 16) for each in line.split()[0].split("-"))
            if line.split()[1].startswith("rw"):
                memory.seek(start)
                yield memory.read(end - start)


@pytest.mark.parametrize("environment", [False, True], ids=["alone", "with packages"])
def test_what_an_app_is_given_is_nowhere_in_the_memory_that_the_next_one_inherits(environment: bool) -> None:
    async def scenario(node: FunctionNode) -> None:
        if environment:
            with_package(node, "neighbour", "")
        # As long as what has to do with starting is: a longer one would be given back to the kernel at once.
        await node.deploy("neighbour", HELLO, vars={"config": "v" * 900}, secrets={"PASSWORD": SECRET.decode()})
        zygote, worker = node.processes["zygote"].pid, node.pool("neighbour").pids[0]
        assert any(SECRET in each for each in memory_of(worker)), "it is looked for where it is"
        assert not any(SECRET in each or CREDENTIAL in each for each in memory_of(zygote))

    run(scenario)


@pytest.mark.parametrize(
    "code", [SAYS_UNASKED, NAMES_ITSELF, NAMES_A_CHILD_OF_ITS_OWN], ids=["unasked", "itself", "its child"]
)
def test_an_environment_that_says_what_cannot_be_is_ended_and_harms_nobody(code: str) -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("neighbour", HELLO)
        (worker,) = node.pool("neighbour").pids
        with_package(node, "liar", code)
        await node.deploy("liar", HELLO)
        assert (await node.get("/liar")).body == b"hello", "the zygote forks its worker itself"
        await node.until(lambda: node.runtime.environments == 0)
        assert node.processes["zygote"].poll() is None
        assert node.pool("neighbour").pids == [worker]

    run(scenario)


def test_a_worker_that_writes_without_end_where_it_says_that_it_is_ready_holds_up_no_other() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.place("flood", FLOODS)
        await node.until(lambda: "where it says that it is ready" in node.pool("flood").counters.last_failure)
        await node.deploy("late", HELLO)
        assert (await node.get("/late")).body == b"hello"

    run(scenario)


def with_package(node: FunctionNode, app: str, code: str) -> None:
    package = node.home / "apps" / f"{app}-1" / "python_modules" / "p_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
