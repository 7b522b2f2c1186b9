"""littoral ask."""

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

import typer

from littoral.cli.client import ApiClient
from littoral.cli.content import content
from littoral.cli.targets import at_node
from littoral.core.names import check_node_name
from littoral.wire.inbox import KEY_HEADER, NODES_PATH


@at_node
def ask(
    api: ApiClient,
    name: Annotated[str, typer.Argument(metavar="NODE", help="The node that is to answer.")],
    method: Annotated[str, typer.Argument(help="GET, PUT, POST, ...")],
    path: Annotated[str, typer.Argument(help="Path of its operator API, with the query: /v1/status.")],
    body: Annotated[str | None, typer.Argument(help="The body; - reads stdin.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Take the body from a file.")] = None,
    content_type: Annotated[
        str | None, typer.Option("--type", help="Content type; application/json if there is a body.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: with the same one it is done once.")] = None,
) -> None:
    """Make a request of a node's operator API, wherever it is below the node that is asked; print the answer as it is.

    Exit code 1 where the answer is an error. Where none came in time, the error says how to get it later.
    """
    headers = {KEY_HEADER: key} if key is not None else {}
    sent = b""
    if body is not None or file is not None:
        sent = content(body, file)
        headers["content-type"] = "application/json"
    if content_type is not None:
        headers["content-type"] = content_type
    parts = urlsplit(path)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    target = f"{NODES_PATH}{check_node_name(name)}/api{parts.path}"
    answer = api.call(method.upper(), target, sent, query, headers).body
    sys.stdout.buffer.write(answer)
    if sys.stdout.isatty() and answer and not answer.endswith(b"\n"):
        print()
