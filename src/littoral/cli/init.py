"""littoral init."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.output import printable
from littoral.core.errors import Conflict, InvalidInput
from littoral.drivers.clock import SystemClock
from littoral.projects.project import CONFIG_FILES
from littoral.projects.templates import TEMPLATES, files_of

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TEMPLATES_HELP = "; ".join(f"{name}: {template.about}" for name, template in TEMPLATES.items())


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; made if it is not there.")] = Path(),
    template: Annotated[str, typer.Option("--template", "-t", metavar="NAME", help=_TEMPLATES_HELP)] = "hello",
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Of the app; that of the folder by default.")] = None,
) -> None:
    """Make a small project that runs. Nothing that is there is overwritten."""
    if template not in TEMPLATES:
        raise typer.BadParameter(f"there is no template {template!r}; there are {', '.join(TEMPLATES)}")
    today = datetime.fromtimestamp(SystemClock().wall_ms() / 1000, tz=UTC).date()
    files = files_of(template, name or _name_of(folder), today.isoformat())
    _make(folder, files)
    for path in files:
        print(printable(str(folder / path)))
    print(f"littoral dev {printable(str(folder))}")


def _name_of(folder: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:63].strip("-")
    if not _NAME.fullmatch(name):
        raise InvalidInput("name an app after", str(folder), "it has no letter or digit in its name", "Say --name")
    return name


def _make(folder: Path, files: dict[str, str]) -> None:
    for path in (*CONFIG_FILES, *files):
        if (folder / path).exists():
            raise Conflict("make project in", str(folder), f"{path} is there already", "Choose another folder")
    try:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            # "x": what somebody has made since is not overwritten either.
            with (folder / path).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise InvalidInput("write", str(error.filename or folder), error.strerror or str(error)) from error
