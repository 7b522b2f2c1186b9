"""Making records the desired state of a tree: first the code they need, then they themselves."""

import io
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from littoral.cli.blob_transfer import send_blob
from littoral.cli.client import ApiClient
from littoral.cli.output import progress
from littoral.core.limits import API_BODY_BYTES
from littoral.fleet.desired import DesiredRecord
from littoral.node.blob_messages import Announcement
from littoral.node.operator_messages import Applied, ResourceEntry
from littoral.store.blob_rows import blob_name

UPLOAD_BYTES = API_BODY_BYTES.default // 2
"""Most of one upload: a node holds its body in memory. What fits into one is applied all or nothing."""


class Done(msgspec.Struct, frozen=True):
    """What came of it."""

    lines: list[str]
    """For each record: what it is, and whether it is new or another than before."""
    changed: int


def make_desired(
    api: ApiClient,
    records: Sequence[DesiredRecord],
    defaults: Sequence[DesiredRecord] = (),
    blobs: Mapping[str, bytes] | None = None,
) -> Done:
    """Apply `records`, and of `defaults` those that the tree has nothing of. blobs: the code they name, by digest.

    Raises what the root answers.
    """
    before = {f"{entry.kind} {entry.name}": entry.revision for entry in api.get("/v1/resources", list[ResourceEntry])}
    there = before.keys() | {_key(record) for record in records}
    wanted = [*records, *(record for record in defaults if _key(record) not in there)]
    _send(api, blobs or {})
    changed = 0
    with progress() as bar:
        task = bar.add_task("upload", total=len(wanted))
        for part in _uploads(wanted):
            changed += api.post("/v1/resources", msgspec.msgpack.encode(part), "application/msgpack", Applied).changed
            bar.advance(task, len(part))
    lines = [f"{_key(record)}: {_change(before.get(_key(record)), record.revision)}" for record in wanted]
    return Done(lines, changed)


def _send(api: ApiClient, blobs: Mapping[str, bytes]) -> None:
    """What the node has already is not sent."""
    with progress() as bar:
        task = bar.add_task("upload code", total=sum(map(len, blobs.values())))
        sent = 0
        for digest, blob in blobs.items():
            before = sent
            announcement = Announcement(blob_name(digest), len(blob))
            send_blob(
                api,
                io.BytesIO(blob),
                announcement,
                lambda have, before=before: bar.update(task, completed=before + have),  # type: ignore[misc]
            )
            sent += len(blob)


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
