"""littoral build."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.output import printable, size
from littoral.drivers.clock import SystemClock
from littoral.projects.build import Built, build
from littoral.projects.ignored import REVISION_SUFFIX
from littoral.projects.revision_file import write_revision
from littoral.projects.target import target_of

OUTPUT_FOLDER = ".littoral"
"""In the project, where its revisions are put: hidden, so that none of them gets into the next."""


def build_project(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The project: a folder with littoral.yaml or wrangler.jsonc.")
    ] = Path(),
    environment: Annotated[
        str | None, typer.Option("--env", "-e", metavar="NAME", help="The environment of a wrangler file.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where to; DIR/.littoral/APP-REVISION.revision by default."),
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Python of the nodes, for packages; this one's by default.")
    ] = None,
    processor: Annotated[
        str | None, typer.Option(metavar="NAME", help="x86_64 or aarch64, likewise; this machine's by default.")
    ] = None,
) -> None:
    """Make a revision of a project: its code and its dependencies, checked and packed, for `littoral apply`.

    No node is asked. The same project gives the same revision, wherever and whenever it is built.
    """
    today = datetime.fromtimestamp(SystemClock().wall_ms() / 1000, tz=UTC).date()
    built = build(folder, environment, target_of(python, processor), today)
    for warning in built.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    path = output or folder / OUTPUT_FOLDER / f"{built.app.name}-{built.app.revision}{REVISION_SUFFIX}"
    write_revision(path, built.file)
    print(_summary(built))
    print(f"littoral apply {printable(str(path))}")


def _summary(built: Built) -> str:
    packages = f", with {', '.join(built.packages)}" if built.packages else ""
    files = f"{built.files} file{'' if built.files == 1 else 's'}"
    return (
        f"App {built.app.name}, revision {built.app.revision}: {files}, {size(len(built.app.bundle or b''))}{packages}"
    )
