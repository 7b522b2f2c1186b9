"""littoral build."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.output import printable, size
from littoral.drivers.clock import SystemClock
from littoral.projects.build import Built, build
from littoral.projects.ignored import OUTPUT_FOLDER, REVISION_SUFFIX
from littoral.projects.revision_file import write_revision
from littoral.projects.target import target_of

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The project: a folder with littoral.yaml or wrangler.jsonc.")
]
Environment = Annotated[
    str | None, typer.Option("--env", "-e", metavar="NAME", help="The environment of a wrangler file.")
]
Python = Annotated[
    str | None, typer.Option(metavar="VERSION", help="Python of the nodes, for packages; this one's by default.")
]
Processor = Annotated[
    str | None, typer.Option(metavar="NAME", help="x86_64 or aarch64, likewise; this machine's by default.")
]


def build_project(
    folder: Folder = Path(),
    environment: Environment = None,
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where to; DIR/.littoral/APP-REVISION.revision by default."),
    ] = None,
    python: Python = None,
    processor: Processor = None,
) -> None:
    """Make a revision of a project: its code and its dependencies, checked and packed, for `littoral apply`.

    No node is asked. The same project gives the same revision, wherever and whenever it is built.
    """
    built = built_project(folder, environment, python, processor)
    path = output or folder / OUTPUT_FOLDER / f"{built.app.name}-{built.app.revision}{REVISION_SUFFIX}"
    write_revision(path, built.file)
    print(summary(built))
    print(f"littoral apply {printable(str(path))}")


def built_project(folder: Path, environment: str | None, python: str | None, processor: str | None) -> Built:
    """The project, built; what is to be said of it is said on stderr. Raises as `littoral.projects.build.build`."""
    today = datetime.fromtimestamp(SystemClock().wall_ms() / 1000, tz=UTC).date()
    built = build(folder, environment, target_of(python, processor), today)
    for warning in built.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return built


def summary(built: Built) -> str:
    """What was built, in a line."""
    packages = f", with {', '.join(built.packages)}" if built.packages else ""
    files = f"{built.files} file{'' if built.files == 1 else 's'}"
    return f"App {built.app.name}, revision {built.app.revision}: {files}, {size(built.bytes)}{packages}"
