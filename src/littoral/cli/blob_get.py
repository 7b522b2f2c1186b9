"""littoral blob get."""

import hashlib
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from littoral.cli.blob_transfer import PIECE_BYTES, insist
from littoral.cli.client import ApiClient, header
from littoral.cli.output import progress
from littoral.cli.targets import at_node
from littoral.core.errors import InvalidInput, NotFound, StorageCorrupt, Unavailable
from littoral.node.blob_messages import PATH
from littoral.store.blob_rows import blob_digest, blob_name

PARTIAL = ".partial"


@at_node
def get(
    api: ApiClient,
    digest: Annotated[str, typer.Argument(help="As `littoral blob put` prints it: sha256:…")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is stdout.")],
) -> None:
    """Get a blob from a node, which fetches it from above if it is not there.

    It is written to FILE.partial first, from where another call goes on; FILE is there once the digest was compared.
    """
    wanted = blob_digest(digest)
    size = _size(api, digest)
    if output == "-":
        _copy(api, digest, sys.stdout.buffer, 0, size)
        return
    target = Path(output)
    aside = target.with_name(target.name + PARTIAL)
    try:
        with aside.open("ab") as file:
            _copy(api, digest, file, file.tell(), size)
        with aside.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != wanted:
            aside.unlink()
            cause = f"what came has the digest {blob_name(found)}"
            raise StorageCorrupt("get blob", digest, cause, "Run the command again: it begins anew")
        aside.rename(target)
    except OSError as error:
        raise InvalidInput("write", str(error.filename or target), error.strerror or str(error)) from error


def _size(api: ApiClient, digest: str) -> int:
    try:
        answer = insist(partial(api.call, "HEAD", f"{PATH}/{digest}"))
    except NotFound as error:
        cause = "neither this node nor any above it has it"
        raise NotFound("get blob", digest, cause, "`littoral blob list` shows what a node has") from error
    length = header(answer, "content-length")
    if length is None or not length.isdecimal():
        raise Unavailable("read the answer of", api.url, "it does not say how large the blob is")
    return int(length)


def _copy(api: ApiClient, digest: str, file: BinaryIO, offset: int, size: int) -> None:
    with progress() as bar:
        task = bar.add_task("receiving", total=size)
        while offset < size:
            last = min(size, offset + PIECE_BYTES) - 1
            piece = partial(api.call, "GET", f"{PATH}/{digest}", headers={"range": f"bytes={offset}-{last}"})
            data = insist(piece).body
            file.write(data)
            offset += len(data)
            bar.update(task, completed=offset)
