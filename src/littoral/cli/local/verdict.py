"""The verdict on what the root holds, by the example's own verification: another program, in another process."""

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from littoral.cli.local.check import CheckFailed
from littoral.cli.local.example import VERIFY, Example
from littoral.cli.local.held import write_records
from littoral.cli.local.observer import ALERTS, WINDOWS, streams_of
from littoral.core.names import parse_stream_name
from littoral.node.operator_client import OperatorClient
from littoral.store.dead_letters import DEAD_LETTERS


class StreamVerdict(msgspec.Struct, frozen=True):
    """What the verification says of one site's windows, or alerts."""

    expected: int
    found: int
    lost: int
    duplicated: int
    wrong: int
    examples: list[str]


async def verify(
    root: OperatorClient, example: Example, sites: Iterable[str], folder: Path, rows: int | None
) -> dict[str, StreamVerdict]:
    """By "site.windows" and "site.alerts". folder: where the root's records are put. Raises CheckFailed."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 -- nothing else waits for this loop
    arguments = ["--held", str(folder), "--json"]
    for site in sites:
        arguments += ["--site", site]
        for path in (WINDOWS, ALERTS):
            await write_records(root, f"{site}/{path}", folder / f"{site}.{path}.jsonl")
    if rows is not None:
        arguments += ["--to-row", str(rows)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(example.folder / VERIFY),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaint = await process.communicate()
    if not output:
        raise CheckFailed(f"the verification failed: {complaint.decode(errors='replace').strip()}")
    return msgspec.json.decode(output, type=dict[str, StreamVerdict])


async def dead_letters(clients: Iterable[OperatorClient]) -> int:
    """In the dead-letter streams of all nodes; one that was shipped is counted where it lies, too."""
    count = 0
    for client in clients:
        for entry in await streams_of(client):
            if parse_stream_name(entry.name).path == DEAD_LETTERS:
                count += entry.next
    return count
