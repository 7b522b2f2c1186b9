"""littoral kv."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.content import content
from littoral.cli.output import print_json
from littoral.cli.targets import at_node

Namespace = Annotated[str, typer.Argument(help="Name of the namespace.")]
Key = Annotated[str, typer.Argument(help="The key.")]


class _Page(msgspec.Struct, frozen=True):
    keys: list[str]
    cursor: str | None


@at_node
def get(api: ApiClient, namespace: Namespace, key: Key) -> None:
    """Write the value of a key to stdout, as it is. Exit code 1 where there is none."""
    value = api.call("GET", f"/v1/kv/{namespace}/{key}").body
    sys.stdout.buffer.write(value)
    if sys.stdout.isatty() and not value.endswith(b"\n"):
        print()


@at_node
def put(
    api: ApiClient,
    namespace: Namespace,
    key: Key,
    value: Annotated[str | None, typer.Argument(help="The value; - or nothing reads stdin.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Take the value from a file.")] = None,
) -> None:
    """Write a key. Returns once it is synced to the node's disk."""
    api.call("PUT", f"/v1/kv/{namespace}/{key}", content(value, file))


@at_node
def delete(api: ApiClient, namespace: Namespace, key: Key) -> None:
    """Delete a key. One that is not there is no error."""
    api.call("DELETE", f"/v1/kv/{namespace}/{key}")


@at_node
def list_keys(
    api: ApiClient,
    namespace: Namespace,
    prefix: Annotated[str, typer.Option(help="Only keys that begin with it.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many; all if not given.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: an array of keys.")] = False,
) -> None:
    """List keys in their order."""
    keys: list[str] = []
    cursor: str | None = None
    while limit is None or len(keys) < limit:
        query = {"prefix": prefix} | ({"cursor": cursor} if cursor is not None else {})
        page = api.get(f"/v1/kv/{namespace}", _Page, query)
        keys += page.keys
        cursor = page.cursor
        if cursor is None:
            break
    keys = keys[:limit]
    if as_json:
        print_json(keys)
        return
    for key in keys:
        print(key)
