"""What a command is to store: given as an argument, in a file, or on stdin."""

import sys
from pathlib import Path

import typer

from littoral.core.errors import InvalidInput


def content(argument: str | None, file: Path | None) -> bytes:
    """The bytes; argument "-" and no argument at all mean stdin. Raises BadParameter, InvalidInput."""
    if argument is not None and file is not None:
        raise typer.BadParameter("it is given twice: as an argument and with --file")
    if file is not None:
        try:
            return file.read_bytes()
        except OSError as error:
            raise InvalidInput("read", str(file), error.strerror or str(error), "Check the name of the file") from error
    if argument is None or argument == "-":
        return sys.stdin.buffer.read()
    return argument.encode("utf-8", "surrogateescape")
