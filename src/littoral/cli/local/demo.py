"""littoral demo."""

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from littoral.cli.local import runtime
from littoral.cli.local.check import CLOUD_LINK, Check, CheckFailed
from littoral.cli.local.devices import Devices
from littoral.cli.local.example import DEFAULT_FOLDER, Example
from littoral.cli.local.held import pairs
from littoral.cli.local.load import LoadResult
from littoral.cli.local.load_process import LoadProcess
from littoral.cli.local.result import Latency, Result, latency
from littoral.cli.local.steps import Steps
from littoral.cli.local.verdict import dead_letters, verify
from littoral.cli.output import console, print_json
from littoral.core.errors import LittoralError
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.drivers.transport import HttpTransport
from littoral.node.local_tree import LocalTree

REPLAY_S = 60.0
ROWS_LEAST = 4000
"""Fewer have too few anomalies behind their half to see a site alert on its own, twice."""
FAILED = 1


def demo(
    state_dir: Annotated[
        Path | None, typer.Option(help="Where the nodes keep their data; a temporary folder if not given.")
    ] = None,
    app: Annotated[Path, typer.Option(help="Folder with documents, devices and verification.")] = DEFAULT_FOLDER,
    rtt: Annotated[float, typer.Option(metavar="MS", min=0, max=60_000, help="Round trip of each WAN.")] = 150.0,
    rows: Annotated[
        int | None, typer.Option(min=ROWS_LEAST, help="Replay so many rows of each recording; all if not given.")
    ] = None,
    replay: Annotated[float, typer.Option(metavar="SECONDS", min=5, help="How long the replay takes.")] = REPLAY_S,
    *,
    check: Annotated[bool, typer.Option("--check", help="Only steps and table, without explanations.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Replay real sensor data through a whole tree, cut a site off, kill its hub, and check that nothing is lost.

    Exit code 0: every window and anomaly is at the root exactly once. 1: something is not as it must be.
    """
    example = Example(app)
    folder = state_dir or Path(tempfile.mkdtemp(prefix="littoral-demo-"))
    tell = not check and not as_json
    with runtime.locked(folder):
        try:
            result = runtime.run(_demo(folder, example, rtt, rows, replay, tell=tell))
        except (CheckFailed, LittoralError) as error:
            _say_kept(folder, str(error))
            raise typer.Exit(FAILED) from None
    if result is None:
        if state_dir is None:
            shutil.rmtree(folder)
        raise typer.Abort
    if as_json:
        print_json(result)
    else:
        console().print(result.table())
    if result.problems:
        _say_kept(folder, "\n".join(result.problems))
        raise typer.Exit(FAILED)
    if state_dir is None:
        shutil.rmtree(folder)


def _say_kept(folder: Path, why: str) -> None:
    out = console(stderr=True)
    out.print(Text("failed: ", style="bold red").append(why, style="default not bold"))
    out.print(f"logs: {folder / 'logs'}")


async def _demo(
    folder: Path, example: Example, rtt_ms: float, rows: int | None, replay_s: float, *, tell: bool
) -> Result:
    clock = SystemClock()
    started_s = clock.monotonic_s()
    async with contextlib.AsyncExitStack() as stack:
        transport = HttpTransport()
        stack.push_async_callback(transport.aclose)
        steps = stack.enter_context(Steps(console(stderr=True), clock, tell=tell))
        story = (
            "Each is the process that `littoral node run` starts. Between a node and its parent is a relay in the place "
            f"of a WAN, with a round trip of {rtt_ms:g} ms. Nodes join with a token that is used once."
        )
        with steps.step("start a root, a region and two sites", story) as step:
            tree = LocalTree(folder, transport, clock, SystemRandom(), round_trip_ms=rtt_ms, progress=step.doing)
            await stack.enter_async_context(tree)
        story = (
            "Two rules, a key-value namespace and a Python function, applied at the root, run where they are placed."
        )
        with steps.step("deploy the example", story):
            await runtime.deploy(tree, example)
        devices = Devices(example, folder, tree.log("devices"), clock)
        stack.push_async_callback(devices.stop)
        load = LoadProcess(tree.log("load"))
        stack.push_async_callback(load.stop)
        check = Check(tree, example, devices, load, steps, transport, clock, replay_s)
        measured = await check.run(rows)
        story = (
            "A script that knows nothing of Littoral computes from the recordings alone which windows and anomalies "
            "there must be, and compares with what the root holds."
        )
        with steps.step("verify against the recordings", story):
            result = await _result(tree, example, devices, check, measured, rows, folder)
        result.took_s = clock.monotonic_s() - started_s
        return result


async def _result(
    tree: LocalTree,
    example: Example,
    devices: Devices,
    check: Check,
    measured: list[LoadResult],
    rows: int | None,
    folder: Path,
) -> Result:
    root = next(iter(tree.clients.values()))
    verdicts = await verify(root, example, check.sites, folder / "held", rows)
    edge = [each for each in measured if each.target != CLOUD_LINK and each.phase != "restart"]
    cloud = [each for each in measured if each.target == CLOUD_LINK]
    restart = [each for each in measured if each.target != CLOUD_LINK and each.phase == "restart"]
    result = Result(
        readings=sum(device.report.acknowledged for device in devices),
        windows=sum(each.found for name, each in verdicts.items() if name.endswith(".windows")),
        anomalies=sum(each.found for name, each in verdicts.items() if name.endswith(".alerts")),
        lost=sum(each.lost for each in verdicts.values()),
        duplicated=sum(each.duplicated for each in verdicts.values()),
        wrong=sum(each.wrong for each in verdicts.values()),
        dead_letters=await dead_letters(tree.clients.values()),
        kv_keys=len(await pairs(root, "factory")),
        bytes_raw=sum(device.report.bytes for device in devices),
        bytes_shipped=check.bytes_shipped - check.shipped_before,
        edge=_latency(edge),
        cloud=_latency(cloud),
        hub_restart_s=check.hub_restart_s,
        slowest_during_restart_ms=max((ms for each in restart for ms in each.latencies_ms), default=0.0),
        failed_during_restart=sum(each.failed for each in restart),
        catch_up_s=check.catch_up_s,
        took_s=0.0,
    )
    for name, verdict in verdicts.items():
        if verdict.found != verdict.expected or verdict.examples:
            result.problems.append(f"{name}: {verdict.found} of {verdict.expected} are right; {verdict.examples}")
    if result.dead_letters:
        result.problems.append(f"{result.dead_letters} dead letters")
    for each in (*edge, *cloud):
        if each.failed:
            result.problems.append(
                f"{each.failed} requests failed at {each.target}, phase {each.phase}: {each.first_failure}"
            )
    return result


def _latency(results: list[LoadResult]) -> Latency:
    return latency([ms for each in results for ms in each.latencies_ms], sum(each.failed for each in results))
