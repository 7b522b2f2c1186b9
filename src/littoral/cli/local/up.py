"""littoral up."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from littoral.cli.local import runtime
from littoral.cli.local.devices import Devices
from littoral.cli.local.example import DEFAULT_FOLDER, Example
from littoral.cli.local.observer import Observer
from littoral.cli.local.view import TreeView
from littoral.cli.local.welcome import welcome
from littoral.cli.output import console
from littoral.cli.tree_file import TREE_DIRECTORY
from littoral.core.errors import StartupError
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.drivers.transport import HttpTransport
from littoral.node.local_tree import LocalTree

BASE_PORT = 7400
SPEED = 43_200.0
"""Half a day of the recordings a second: the first anomaly after a quarter of a minute, the end after eleven minutes."""
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """What `littoral up` was asked for."""

    state_dir: Path
    rtt_ms: float
    port: int
    example: Example | None
    speed: float
    with_devices: bool


def up(
    state_dir: Annotated[Path, typer.Option(help="Where the nodes keep their data.")] = TREE_DIRECTORY,
    rtt: Annotated[float, typer.Option(metavar="MS", min=0, max=60_000, help="Round trip of each WAN.")] = 150.0,
    port: Annotated[int, typer.Option(min=0, max=65_000, help="First port; 0 for any free ones.")] = BASE_PORT,
    app: Annotated[
        Path | None,
        typer.Option(help=f"Folder with documents and devices to run; {DEFAULT_FOLDER} if it is there."),
    ] = None,
    speed: Annotated[float, typer.Option(min=1, help="Seconds of the recordings a second.")] = SPEED,
    *,
    no_devices: Annotated[bool, typer.Option("--no-devices", help="Start no device simulators.")] = False,
) -> None:
    """Run a root, a region and two sites on this machine, with devices and a dashboard, until Ctrl-C.

    Started again, it goes on where it was.
    """
    if app is None and DEFAULT_FOLDER.is_dir():
        app = DEFAULT_FOLDER
    example = Example(app) if app is not None else None
    with_devices = example is not None and example.has_devices and not no_devices
    options = Options(state_dir, rtt, port, example, speed, with_devices)
    with runtime.locked(state_dir):
        if port:
            runtime.check_ports(port)
        runtime.run(_up(options))


async def _up(options: Options) -> None:
    out = console()
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(lambda: out.print("stopped"))
        transport = HttpTransport()
        stack.push_async_callback(transport.aclose)
        with _saying(out) as say:
            tree = LocalTree(
                options.state_dir,
                transport,
                clock,
                SystemRandom(),
                round_trip_ms=options.rtt_ms,
                base_port=options.port,
                progress=say,
            )
            await stack.enter_async_context(tree)
            if options.example is not None:
                say(f"deploying {options.example.folder}")
                await runtime.deploy(tree, options.example)
            devices = await _devices(options, tree, stack) if options.with_devices else None
        assert tree.file is not None
        welcome(out, tree.file, options.state_dir, has_app=options.example is not None)
        observer = Observer(tree, clock)
        with TreeView(out) as view:
            while True:
                view.show(await observer.look(), _note(devices, options), clock.monotonic_s())
                await asyncio.sleep(LOOK_S)


async def _devices(options: Options, tree: LocalTree, stack: contextlib.AsyncExitStack) -> Devices:
    assert options.example is not None
    assert tree.file is not None
    devices = Devices(options.example, options.state_dir, tree.log("devices"), SystemClock())
    stack.push_async_callback(devices.stop)
    recordings = options.example.recordings()
    brokers = {name: node.mqtt for name, node in tree.file.nodes.items() if node.mqtt is not None}
    await devices.start(brokers, recordings, dict.fromkeys(recordings, options.speed), tree.file.mqtt)
    return devices


def _note(devices: Devices | None, options: Options) -> str:
    if devices is None:
        return "no devices are simulated"
    try:
        devices.check()
    except StartupError as error:
        # The tree is what was asked for; it goes on without the device.
        return str(error)
    if devices.done:
        return f"the recordings are over; `rm -r {options.state_dir}` lets `littoral up` begin anew"
    played = sum(device.played for device in devices)
    return f"devices: {played:,} of {sum(device.rows for device in devices):,} readings published"


@contextlib.contextmanager
def _saying(out: Console) -> Iterator[Callable[[str], None]]:
    """Tell what is being done: beside a spinner on a terminal, else line by line."""
    if not out.is_terminal:
        yield lambda text: out.print(text)
        return
    with out.status("starting") as status:
        yield lambda text: status.update(text)
