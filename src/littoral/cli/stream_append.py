"""littoral stream append."""

from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.client import ApiClient
from littoral.cli.content import content
from littoral.cli.stream_read import Name
from littoral.cli.streams import next_offset, stream_path, tail_of
from littoral.cli.targets import at_node
from littoral.core.errors import NotFound
from littoral.wire.durable_streams import JSON, is_json
from littoral.wire.json_messages import join_messages


@at_node
def append(
    api: ApiClient,
    name: Name,
    data: Annotated[str | None, typer.Argument(help="What to append; - or nothing reads stdin.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Take it from a file.")] = None,
    content_type: Annotated[str, typer.Option(help="Type of the stream that --create makes.")] = JSON,
    *,
    create: Annotated[bool, typer.Option("--create", help="Make the stream if there is none.")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="Each line is a record.")] = False,
) -> None:
    """Append to a stream of the node itself. Returns once it is synced to disk; prints the stream's new end.

    A stream of JSON takes a value, or an array of values, each of which is a record. Others take everything as one.
    """
    kind = _type(api, name, content_type, create=create)
    body = content(data, file)
    if not lines:
        bodies = [body]
    elif is_json(kind):
        bodies = [join_messages([line for line in body.splitlines() if line.strip()])]
    else:
        bodies = body.splitlines(keepends=True)
    for each in bodies:
        answer = api.call("POST", stream_path(name), each, headers={"content-type": kind})
        following = next_offset(answer)
    print(f"{name} now ends at {following}")


def _type(api: ApiClient, name: str, content_type: str, *, create: bool) -> str:
    try:
        return tail_of(api, name).content_type
    except NotFound as error:
        if not create:
            raise NotFound("append to stream", name, error.cause, "Make it with --create") from None
    api.call("PUT", stream_path(name), headers={"content-type": content_type})
    return content_type
