"""littoral validate."""

from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.resource_files import read_files


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="YAML files, folders of them, or - for stdin.")],
) -> None:
    """Check `littoral/v1` documents, and print every problem with file, line and field.

    No node is asked. Exit code 1 says that something is wrong.
    """
    reading = read_files(files)
    for problem in reading.problems:
        print(problem)
    if reading.problems:
        raise typer.Exit(1)
    print(f"{_count(len(reading.documents), 'document')} in {_count(len(reading.files), 'file')}: no problems")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
