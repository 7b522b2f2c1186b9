"""littoral up."""

import asyncio
import contextlib
import os
import shutil
import sys
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
from littoral.core.errors import NotFound
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.drivers.transport import HttpTransport
from littoral.node.local_tree import LocalTree, stop_on_signals

BASE_PORT = 7400
SPEED = 43_200.0
"""Half a day of the recordings a second: the first anomaly after a quarter of a minute, the end after eleven minutes."""
LOOK_S = 1.0


class _Options:
    def __init__(self, state_dir: Path, rtt_ms: float, port: int, example: Example | None, speed: float) -> None:
        self.state_dir = state_dir
        self.rtt_ms = rtt_ms
        self.port = port
        self.example = example
        self.speed = speed


def up(
    state_dir: Annotated[Path, typer.Option(help="Where the nodes keep their data.")] = TREE_DIRECTORY,
    rtt: Annotated[float, typer.Option(min=0, max=60_000, help="Round trip of each WAN, in ms.")] = 150.0,
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
    if port:
        runtime.check_ports(port)
    options = _Options(state_dir, rtt, port, example, speed)
    with runtime.locked(state_dir):
        runtime.run(_up(options, with_devices=not no_devices))


async def _up(options: _Options, *, with_devices: bool) -> None:
    out = console()
    stopped = asyncio.Event()
    stop_on_signals(stopped)
    transport, clock = HttpTransport(), SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(transport.aclose)
        with _working(out) as say:
            tree = LocalTree(
                options.state_dir,
                transport,
                clock,
                SystemRandom(),
                round_trip_ms=options.rtt_ms,
                base_port=options.port,
                progress=say,
            )
            starting = asyncio.ensure_future(stack.enter_async_context(tree))
