"""littoral sim: whole trees under faults, in virtual time."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from littoral.cli.output import console, print_json, print_table, progress
from littoral.core.errors import InvalidInput
from littoral.testing.simulation.campaign import Campaign, Tally
from littoral.testing.simulation.draw import draw_plan
from littoral.testing.simulation.extension import load_extension
from littoral.testing.simulation.history import History
from littoral.testing.simulation.orders import Order
from littoral.testing.simulation.plan import Plan, plan_of_json, plan_to_json
from littoral.testing.simulation.processes import Processes
from littoral.testing.simulation.run import Outcome
from littoral.testing.simulation.shrink import shrink
from littoral.testing.simulation.timeline import text_timeline
from littoral.testing.simulation.timeline_page import timeline_page

SHRINK_TRIALS = 300


def sim(
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    runs: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 1,
    nodes: Annotated[int, typer.Option(min=2, max=64, help="Nodes of each tree.")] = 8,
    hours: Annotated[float, typer.Option(min=0.05, max=24, help="Virtual hours of each run.")] = 1.0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = os.cpu_count() or 1,
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Run the plan in this file, as a failure has left it.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIRECTORY", help="Where the files of a failure go.")] = Path("sim"),
    extensions: Annotated[
        list[Path],
        typer.Option("--with", metavar="FILE", help="Python that adds work, faults or checks; may be repeated."),
    ] = [],  # noqa: B006 -- typer copies it
    *,
    log: Annotated[bool, typer.Option("--log", help="Print the event log of the run.")] = False,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Write the timeline of the run, also if nothing fails.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run trees of real nodes in virtual time, with faults drawn from the seed, and check what Littoral promises.

    A failure is shrunk to the shortest list of events that still fails; its plan and its timeline are written to files.
    """
    for file in extensions:
        load_extension(file)
    if replay is not None or log or timeline:
        plan = _read(replay) if replay is not None else draw_plan(seed, nodes, hours)
        _run_one(plan, extensions, out, log=log, page=timeline)
        return
    campaign = Campaign(seed, runs, nodes, hours, min(jobs, runs), tuple(extensions))
    with progress() as bar:
        task = bar.add_task("simulating", total=runs)

        def done(outcome: Outcome, tally: Tally) -> None:
            bar.update(task, completed=tally.runs)
            if outcome.violation is not None:
                console(stderr=True).print(f"seed {outcome.plan.seed}: {': '.join(outcome.violation)}")

        tally = campaign.run(done)
    if as_json:
        print_json(tally)
    else:
        _print_tally(tally, campaign)
    if tally.failed:
        _explain(tally.failed[0], extensions, out)
    if not tally.passed:
        raise typer.Exit(1)


def _read(file: Path) -> Plan:
    try:
        return plan_of_json(file.read_bytes())
    except OSError as error:
        raise InvalidInput(
            "read plan", str(file), str(error.strerror), "Give a file that a failure has left"
        ) from error
    except msgspec.DecodeError as error:
        raise InvalidInput(
            "read plan", str(file), f"it is no plan ({error})", "Give a file that a failure has left"
        ) from error


def _run_one(plan: Plan, extensions: list[Path], out: Path, *, log: bool, page: bool) -> None:
    """Run a plan by itself, with every message recorded."""
    with Processes(1, extensions) as processes:
        answer = processes.do(Order(plan, record=True))
    outcome, history = answer.outcome, answer.history
    assert history is not None
    if log:
        for line in history.lines():
            print(line)
    print(f"event log: SHA-256 {outcome.digest}")
    print(f"{outcome.acknowledged} records acknowledged, {sum(outcome.hits.values())} faults")
    if page or outcome.violation is not None:
        _leave(outcome, history, out)
    if outcome.violation is not None:
        print(f"violation: {': '.join(outcome.violation)}")
        raise typer.Exit(1)


def _explain(failed: Outcome, extensions: list[Path], out: Path) -> None:
    """Find the shortest list of events that still breaks the same promise, and show what happens in it."""
    assert failed.violation is not None
    check, plan = failed.violation[0], failed.plan
    with Processes(1, extensions) as processes, progress() as bar:
        task = bar.add_task("shrinking", total=SHRINK_TRIALS)

        def fails(candidate: Plan) -> bool:
            violation = processes.do(Order(candidate, whole=False)).outcome.violation
            return violation is not None and violation[0] == check

        shortest = shrink(plan, fails, SHRINK_TRIALS, lambda trials, best: bar.update(task, completed=trials))
        answer = processes.do(Order(shortest, whole=False, record=True))
    assert answer.history is not None
    print(f"\nseed {plan.seed}, shrunk from {len(plan.events)} to {len(shortest.events)} events:\n")
    print(text_timeline(answer.history, shortest))
    _leave(answer.outcome, answer.history, out)


def _leave(outcome: Outcome, history: History, out: Path) -> None:
    """Write what lets somebody else see it and do it again."""
    plan = outcome.plan
    out.mkdir(parents=True, exist_ok=True)
    base = out / f"seed-{plan.seed}"
    title = f"Seed {plan.seed}: {': '.join(outcome.violation) if outcome.violation else 'no violation'}"
    for suffix, content in (
        (".json", plan_to_json(plan)),
        (".txt", text_timeline(history, plan).encode()),
        (".html", timeline_page(history, plan, title).encode()),
    ):
        file = base.with_suffix(suffix)
        file.write_bytes(content)
        print(f"wrote {file}")
    print(f"again: littoral sim --replay {base.with_suffix('.json')}")


def _print_tally(tally: Tally, campaign: Campaign) -> None:
    print(
        f"{tally.runs} runs of {campaign.hours:g} virtual hours with {campaign.nodes} nodes,"
        f" {tally.acknowledged} records acknowledged, {sum(tally.hits.values())} faults,"
        f" {len(tally.failed)} violations; {tally.too_little} more runs did too little to count"
    )
    for title, counter in (("FAULT", tally.hits), ("WAY BACK", tally.recoveries)):
        print()
        print_table([title, "TIMES"], [[name, str(count)] for name, count in sorted(counter.items())], right=["TIMES"])
    for name in tally.never():
        print(f"never seen: {name}")
