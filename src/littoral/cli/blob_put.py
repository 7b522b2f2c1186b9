"""littoral blob put."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from littoral.cli.blob_transfer import PIECE_BYTES, send_blob
from littoral.cli.client import ApiClient
from littoral.cli.output import progress
from littoral.cli.targets import at_node
from littoral.core.errors import InvalidInput
from littoral.node.blob_messages import Announcement
from littoral.store.blob_rows import blob_name


@at_node
def put(
    api: ApiClient,
    file: Annotated[str, typer.Argument(metavar="FILE", help="What to put; - reads stdin.")],
    *,
    send: Annotated[bool, typer.Option("--send", help="Send it up to the root as well.")] = False,
) -> None:
    """Put a file of any size into a node. Returns once it is synced to the node's disk; prints its digest.

    A broken connection is gone on with where it broke, also by another call with the same file. What the node has already
    is not sent.
    """
    with _opened(file) as source:
        digest, size = _measured(source)
        announcement = Announcement(blob_name(digest), size, "up" if send else "")
        with progress() as bar:
            task = bar.add_task("sending", total=size)
            send_blob(api, source, announcement, lambda have: bar.update(task, completed=have))
    print(announcement.digest)


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    """What is to be put, to be read from any place. Raises InvalidInput where it cannot be read."""
    try:
        if file != "-":
            with Path(file).open("rb") as source:
                yield source
            return
        # The digest comes before the first byte, so stdin has to be read twice.
        with tempfile.TemporaryFile() as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept)
            kept.seek(0)
            yield kept
    except OSError as error:
        raise InvalidInput("read", file, error.strerror or str(error)) from error


def _measured(source: BinaryIO) -> tuple[str, int]:
    found = hashlib.sha256()
    while piece := source.read(PIECE_BYTES):
        found.update(piece)
    return found.hexdigest(), source.tell()
