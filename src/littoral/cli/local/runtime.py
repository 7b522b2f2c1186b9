"""What `up` and `demo` share: the real clock, chance and transport, a lock on the state directory, the deployment."""

import asyncio
import contextlib
import fcntl
import signal
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import uvloop

from littoral.cli.local.example import Example
from littoral.core.errors import StartupError, TimedOut
from littoral.drivers.listeners import listen_tcp
from littoral.node.local_tree import DEFAULT_PLAN, LocalTree, other_ports
from littoral.node.status import NodeStatus

LOCK_FILE = "lock"
DEPLOY_S = 30.0
POLL_S = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM)
PORTS = other_ports(DEFAULT_PLAN) + len({plan.parent for plan in DEFAULT_PLAN} - {None})
"""Of these, and of the relays of those nodes that have children."""
T = TypeVar("T")


def run(work: Coroutine[None, None, T]) -> T | None:
    """Run on uvloop until it is done; None if Ctrl-C or SIGTERM ended it. What it holds is then closed in order."""

    async def guarded() -> T | None:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()

        def end() -> None:
            # Only once: a second Ctrl-C must not disturb the closing.
            for number in SIGNALS:
                loop.add_signal_handler(number, lambda: None)
            task.cancel()

        for number in SIGNALS:
            loop.add_signal_handler(number, end)
        try:
            return await work
        except asyncio.CancelledError:
            return None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(guarded())


@contextlib.contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Hold a state directory. Raises StartupError if another tree runs in it."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = open(state_dir / LOCK_FILE, "ab")  # noqa: SIM115 -- closed below
    except OSError as error:
        raise StartupError(
            "use state directory", str(state_dir), error.strerror or str(error), "Choose another with --state-dir"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartupError(
                "start tree in",
                str(state_dir),
                "a tree is running there",
                "`littoral status` shows it; end it with Ctrl-C where it runs, or choose another --state-dir",
            ) from error
        yield


def check_ports(base: int) -> None:
    """Raises StartupError if one of the ports from `base` on that the tree needs is in use."""
    for port in range(base, base + PORTS):
        try:
            listen_tcp(f"127.0.0.1:{port}").close()
        except StartupError as error:
            remedy = f"Stop it, or start elsewhere: --port {base + 1000}, or --port 0 for any free ports"
            raise StartupError(error.operation, error.subject, error.cause, remedy) from None


async def deploy(tree: LocalTree, example: Example) -> int:
    """Make the example the desired state, and wait until every node runs what is placed on it; returns how many
    documents changed. Raises what the root answers, TimedOut with what is missing."""
    records = example.records()
    changed = await next(iter(tree.clients.values())).apply(records)
    rules = {record.name for record in records if record.kind == "Rule"}
    apps = {record.name for record in records if record.kind == "App"}
    missing = ""
    try:
        async with asyncio.timeout(DEPLOY_S):
            for client in tree.clients.values():
                while missing := _missing(await client.status(), rules, apps):  # noqa: ASYNC110 -- of another process
                    await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        raise TimedOut("deploy", str(example.folder), missing, f"See {tree.state_dir / 'logs'}") from error
    return changed


def _missing(status: NodeStatus, rules: set[str], apps: set[str]) -> str:
    """What a node does not run yet, in words; empty if it runs all. Rules are placed on sites."""
    if status.tier == "site":
        for name in rules:
            if name not in status.rules or status.rules[name].problem:
                why = status.rules[name].problem if name in status.rules else "it has not arrived"
                return f"rule {name} does not run at {status.node}: {why}"
    for name in apps:
        if name not in status.apps or not status.apps[name].workers:
            why = status.apps[name].problem if name in status.apps else "it has not arrived"
            return f"app {name} does not run at {status.node}: {why or 'it is being started'}"
    return ""
