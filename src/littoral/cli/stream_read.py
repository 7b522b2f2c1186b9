"""littoral stream read, and tail."""

import base64
import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import progress
from littoral.cli.streams import Slice, follow, listed, slices, tail_of
from littoral.cli.targets import at_node
from littoral.core.errors import InvalidInput, LittoralError, NotFound
from littoral.core.names import parse_stream_name
from littoral.node.stream_messages import StreamEntry
from littoral.wire.durable_streams import is_json, is_text
from littoral.wire.json_messages import split_messages

Name = Annotated[str, typer.Argument(metavar="STREAM", help="NODE/PATH, for example plant-a/windows.")]
Raw = Annotated[bool, typer.Option("--raw", help="Write the bytes as they are stored, whatever the type.")]


@at_node
def read(
    api: ApiClient,
    name: Name,
    start: Annotated[
        int | None, typer.Option("--from", min=0, help="Offset to begin at; the oldest record if not given.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many records, of a stream of JSON.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file instead of stdout.")] = None,
    *,
    raw: Raw = False,
) -> None:
    """Print what is in a stream now.

    JSON: one record a line. Text: as it is. Anything else: what the node sends at a time, as one line of base64.
    """
    entry = _entry(api, name)
    if limit is not None and (raw or not is_json(entry.content_type)):
        raise typer.BadParameter(f"--limit counts records of JSON; {name} holds {entry.content_type}")
    first = entry.first if start is None else start
    if first > entry.next:
        raise InvalidInput("read stream", name, f"offset {first} is beyond its tail, {entry.next}")
    last = entry.next if limit is None else min(entry.next, first + limit)
    if output is None:
        for piece in slices(api, name, first):
            _write(sys.stdout.buffer, _until(piece, last), raw=raw)
            if piece.next >= last:
                break
        sys.stdout.flush()
        return
    with _opened(output) as file, progress() as bar:
        task = bar.add_task(f"read {name}", total=last - first)
        for piece in slices(api, name, first):
            _write(file, _until(piece, last), raw=raw)
            bar.update(task, completed=min(piece.next, last) - first)
            if piece.next >= last:
                break


@at_node
def tail(
    api: ApiClient,
    name: Name,
    start: Annotated[int | None, typer.Option("--from", min=0, help="Offset to begin at.")] = None,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="Begin so many records before the end.")] = 10,
    *,
    raw: Raw = False,
) -> None:
    """Print the end of a stream, and what is appended to it, until Ctrl-C. Goes on when the node was away."""
    entry = _entry(api, name)
    offset = max(entry.first, entry.next - last) if start is None else start
    for piece in follow(api, name, offset, _tell):
        _write(sys.stdout.buffer, piece, raw=raw)
        sys.stdout.flush()


def _entry(api: ApiClient, name: str) -> StreamEntry:
    tail_of(api, name)  # Says what is wrong with the name, where something is.
    origin, path = parse_stream_name(name)
    for entry in listed(api, named=path, text=f"{origin}/"):
        if entry.name == name:
            return entry
    raise NotFound("read stream", name, "there is no such stream on this node", "`littoral stream list` names them")


def _until(piece: Slice, last: int) -> Slice:
    """The piece without the records from offset `last` on. Only a stream of JSON is read with such an end."""
    if piece.next <= last or not is_json(piece.content_type):
        return piece
    kept = split_messages(piece.body)[: last - piece.first]
    return Slice(piece.content_type, b"[" + b",".join(kept) + b"]", piece.first, last)


def _write(file: BinaryIO, piece: Slice, *, raw: bool) -> None:
    if not raw and is_json(piece.content_type):
        # A message may have been written over several lines; it is one here.
        file.writelines(msgspec.json.format(message, indent=-1) + b"\n" for message in split_messages(piece.body))
    elif raw or is_text(piece.content_type):
        file.write(piece.body)
    else:
        file.write(base64.b64encode(piece.body) + b"\n")


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise InvalidInput("write", str(path), error.strerror or str(error)) from error


def _tell(error: LittoralError) -> None:
    print(f"{error}. Trying again", file=sys.stderr)
