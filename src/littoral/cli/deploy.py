"""littoral deploy, littoral rollback."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from littoral.cli.applying import make_desired
from littoral.cli.build import Environment, Folder, Processor, Python, built_project, summary
from littoral.cli.client import ApiClient
from littoral.cli.output import printable
from littoral.cli.rollout import Rollout
from littoral.cli.targets import at_node
from littoral.core.resources import App, parse_duration_ms
from littoral.node.app_messages import PATH, RollbackOrder, RolledBack

Patience = Annotated[str, typer.Option("--wait", help="How long to wait until nodes run it; 0s does not wait.")]


@at_node
def deploy(
    api: ApiClient,
    folder: Folder = Path(),
    environment: Environment = None,
    python: Python = None,
    processor: Processor = None,
    wait: Patience = "2m",
) -> None:
    """Build a project, and have the tree run it. Asks the root.

    Code that nodes have already is not sent. A node goes over to it once its workers have started, and requests under way end on
    the old ones; where it does not start, what runs goes on, and the error says why.
    """
    patience_s = parse_duration_ms(wait) / 1000
    built = built_project(folder, environment, python, processor)
    print(summary(built))
    done = make_desired(api, built.file.records, built.file.defaults, built.file.blobs)
    for line in done.lines:
        print(line)
    if patience_s:
        assert built.app.document is not None
        _follow(api, msgspec.json.decode(built.app.document, type=App), built.app.revision, patience_s)


@at_node
def rollback(
    api: ApiClient,
    name: Annotated[str, typer.Argument(metavar="APP", help="The app.")],
    revision: Annotated[
        str, typer.Argument(help="What to go back to, or its first letters; the one before by default.")
    ] = "",
) -> None:
    """Go back to a revision that an app had. Asks the root.

    Nodes keep the last few revisions ready: going back to one of them takes as long as starting its workers.
    """
    order = msgspec.json.encode(RollbackOrder(revision))
    answer = api.post(f"{PATH}/{name}/rollback", order, "application/json", RolledBack)
    print(f"App {printable(name)}: {answer.revision} in the place of {answer.before}")


def _follow(api: ApiClient, app: App, revision: str, patience_s: float) -> None:
    for url in Rollout(api, app, revision).wait(patience_s):
        print(url)
