"""What a node holds, read through its API: records of streams, and key-value namespaces."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from littoral.cli.local.observer import streams_of
from littoral.cli.streams import next_offset, stream_path
from littoral.core.errors import NotFound
from littoral.core.http import Response
from littoral.node.operator_client import OperatorClient
from littoral.wire.durable_streams import STREAM_UP_TO_DATE, format_offset

_records = msgspec.json.Decoder(list[msgspec.Raw])


class _Page(msgspec.Struct, frozen=True):
    keys: list[str]
    cursor: str | None


async def tails(client: OperatorClient, origin: str) -> dict[str, int]:
    """Where each stream of a node ends in the copy of the node that is asked. Those meant for the root only."""
    entries = await streams_of(client)
    return {each.name: each.next for each in entries if each.name.startswith(f"{origin}/") and each.reach == "root"}


async def write_records(client: OperatorClient, stream: str, path: Path) -> int:
    """Write a JSON stream to a file, a record a line; returns how many there are. A stream that is not there has none."""
    count = 0
    with path.open("wb") as file:
        async for record in _read(client, stream):
            file.write(bytes(record) + b"\n")
            count += 1
    return count


async def _read(client: OperatorClient, stream: str) -> AsyncIterator[msgspec.Raw]:
    offset = 0
    while True:
        try:
            answer = await client.call("GET", stream_path(stream), query={"offset": format_offset(offset)})
        except NotFound:
            return
        for record in _records.decode(answer.body):
            yield record
        offset = next_offset(answer)
        if _has(answer, STREAM_UP_TO_DATE):
            return


def _has(answer: Response, name: str) -> bool:
    return any(header.lower() == name.lower() for header, _ in answer.headers)


async def pairs(client: OperatorClient, namespace: str) -> dict[str, bytes]:
    """All keys of a namespace with their values, as the node that is asked sees them."""
    found: dict[str, bytes] = {}
    cursor: str | None = ""
    while cursor is not None:
        query = {"cursor": cursor} if cursor else {}
        answer = await client.call("GET", f"/v1/kv/{namespace}", query=query)
        page = msgspec.json.decode(answer.body, type=_Page)
        for key in page.keys:
            found[key] = (await client.call("GET", f"/v1/kv/{namespace}/{key}")).body
        cursor = page.cursor
    return found
