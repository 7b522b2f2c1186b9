"""littoral kv."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.content import content
from littoral.cli.output import print_json, print_table, printable
from littoral.cli.targets import at_node
from littoral.core.resources import parse_duration_ms

Namespace = Annotated[str, typer.Argument(help="Name of the namespace.")]
Key = Annotated[str, typer.Argument(help="The key.")]


class _Page(msgspec.Struct, frozen=True):
    keys: list[str]
    cursor: str | None
    details: dict[str, dict[str, Any]] = {}


@at_node
def get(
    api: ApiClient,
    namespace: Namespace,
    key: Key,
    *,
    metadata: Annotated[
        bool, typer.Option("--metadata", help="Print what was written beside the value, as JSON.")
    ] = False,
) -> None:
    """Write the value of a key to stdout, as it is. Exit code 1 where there is none."""
    if metadata:
        print_json(api.get(f"/v1/kv/{namespace}/{key}", dict[str, Any], {"details": "true"}))
        return
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
    ttl: Annotated[str | None, typer.Option(help="After how long the key expires: 60s or more, such as 2h.")] = None,
    expiration: Annotated[int | None, typer.Option(help="When it expires, in seconds since the epoch.")] = None,
    metadata: Annotated[str | None, typer.Option(help="JSON to keep beside the value, of up to 1,024 bytes.")] = None,
) -> None:
    """Write a key. Returns once it is synced to the node's disk."""
    query: dict[str, str] = {}
    if ttl is not None:
        query["ttl"] = str(parse_duration_ms(ttl) // 1000)
    if expiration is not None:
        query["expiration"] = str(expiration)
    if metadata is not None:
        query["metadata"] = metadata
    api.call("PUT", f"/v1/kv/{namespace}/{key}", content(value, file), query)


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
    metadata: Annotated[
        bool, typer.Option("--metadata", help="Also print when each expires, and its metadata.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: an array of keys.")] = False,
) -> None:
    """List keys in their order."""
    keys: list[str] = []
    details: dict[str, dict[str, Any]] = {}
    cursor: str | None = None
    while limit is None or len(keys) < limit:
        query = {"prefix": prefix} | ({"cursor": cursor} if cursor is not None else {})
        page = api.get(f"/v1/kv/{namespace}", _Page, query)
        keys += page.keys
        details |= page.details
        cursor = page.cursor
        if cursor is None:
            break
    keys = keys[:limit]
    if as_json:
        print_json([{"name": key, **details.get(key, {})} for key in keys] if metadata else keys)
        return
    if metadata:
        print_table(("key", "expires", "metadata"), [_row(key, details.get(key, {})) for key in keys])
        return
    for key in keys:
        print(key)


def _row(key: str, details: dict[str, Any]) -> tuple[str, str, str]:
    expires_s, metadata = details.get("expiration"), details.get("metadata")
    when = "" if expires_s is None else datetime.fromtimestamp(expires_s, tz=UTC).isoformat()
    return printable(key), when, "" if metadata is None else printable(msgspec.json.encode(metadata).decode())
