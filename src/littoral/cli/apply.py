"""littoral apply."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.desired_files import desired_record, valid_documents
from littoral.cli.output import progress
from littoral.cli.targets import at_node
from littoral.core.limits import API_BODY_BYTES
from littoral.fleet.desired import DesiredRecord
from littoral.node.operator_api import Applied, ResourceEntry
from littoral.projects.ignored import REVISION_SUFFIX
from littoral.projects.revision_file import read_revision

UPLOAD_BYTES = API_BODY_BYTES.default // 2
"""Most of one upload: a node holds its body in memory. What fits into one is applied all or nothing."""
FILES_HELP = "YAML files, folders of them, revisions that `littoral build` wrote, or - for stdin."


@at_node
def apply(
    api: ApiClient,
    files: Annotated[list[Path] | None, typer.Argument(help=FILES_HELP)] = None,
    file: Annotated[list[Path] | None, typer.Option("--file", "-f", help="The same, as an option.")] = None,
) -> None:
    """Make documents the desired state of the tree. Asks the root; every node then takes what is placed on it.

    All files are checked before anything is sent. The code of an app is packed from its source folder.
    """
    paths = [*(files or []), *(file or [])]
    if not paths:
        raise typer.BadParameter("name at least one file")
    built = [read_revision(path) for path in paths if path.suffix == REVISION_SUFFIX]
    documents = valid_documents([path for path in paths if path.suffix != REVISION_SUFFIX])
    before = {f"{entry.kind} {entry.name}": entry.revision for entry in api.get("/v1/resources", list[ResourceEntry])}
    with progress() as bar:
        packing = bar.add_task("pack", total=len(documents))
        records: list[DesiredRecord] = []
        for found in documents:
            records.append(desired_record(found))
            bar.advance(packing)
        records += [record for revision in built for record in revision.records]
        there = before.keys() | {_key(record) for record in records}
        records += [record for revision in built for record in revision.defaults if _key(record) not in there]
        changed = 0
        sending = bar.add_task("upload", total=len(records))
        for part in _uploads(records):
            changed += api.post("/v1/resources", msgspec.msgpack.encode(part), "application/msgpack", Applied).changed
            bar.advance(sending, len(part))
    for record in records:
        print(f"{_key(record)}: {_change(before.get(_key(record)), record.revision)}")
    print(f"{changed} changed")


def _uploads(records: Sequence[DesiredRecord]) -> Iterator[list[DesiredRecord]]:
    part: list[DesiredRecord] = []
    size = 0
    for record in records:
        size += len(record.bundle or b"") + len(record.document or b"")
        if part and size > UPLOAD_BYTES:
            yield part
            part, size = [], len(record.bundle or b"") + len(record.document or b"")
        part.append(record)
    if part:
        yield part


def _key(record: DesiredRecord) -> str:
    return f"{record.kind} {record.name}"


def _change(before: str | None, now: str) -> str:
    if before is None:
        return "created"
    return "unchanged" if before == now else "changed"
