"""Desired state: what is to run where, as a stream of the root's that every node folds."""

from collections.abc import Sequence

import msgspec

from littoral.core.errors import InvalidInput
from littoral.core.names import StreamName
from littoral.core.resources import App, Namespace, Resource, Rule
from littoral.fleet.bundles import revision_of
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction

DESIRED = "desired"
"""Path of the stream at the root, and scope of the folded state at every node."""

Deployable = App | Namespace | Rule
KINDS: dict[str, type[App] | type[Namespace] | type[Rule]] = {"App": App, "Namespace": Namespace, "Rule": Rule}


class DesiredRecord(msgspec.Struct, frozen=True):
    """One change of the desired state."""

    kind: str
    name: str
    revision: str
    """Hash of document and bundle: equal revisions are the same thing."""
    document: bytes | None
    """The resource as JSON; None withdraws it."""
    bundle: bytes | None = None
    """An app's code: a zstd-compressed msgpack map of path to bytes."""

    @property
    def key(self) -> str:
        """Where the folded state keeps it."""
        return f"{self.kind}/{self.name}"


class Wanted(msgspec.Struct, frozen=True):
    """A resource with its revision."""

    resource: Deployable
    revision: str
    bundle: bytes | None


_decode = msgspec.msgpack.Decoder(DesiredRecord).decode
encode_record = msgspec.msgpack.Encoder().encode


def record_of(resource: Deployable, bundle: bytes | None) -> DesiredRecord:
    """The record that makes `resource` desired; an app comes with its code."""
    document = msgspec.json.encode(resource, order="deterministic")
    revision = revision_of(document, bundle or b"")
    return DesiredRecord(type(resource).__name__, resource.metadata.name, revision, document, bundle)


class DesiredFold:
    """Keeps the newest record of each resource."""

    name = "desired"

    def wants(self, info: StreamInfo) -> bool:
        return info.name.path == DESIRED

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        for data in records:
            try:
                record = _decode(data)
            except msgspec.DecodeError as error:
                raise InvalidInput("apply", str(source), f"it is no desired state ({error})") from error
            tx.put_state(DESIRED, record.key, None if record.document is None else data)


def submit_desired(tx: Transaction, records: Sequence[DesiredRecord]) -> int:
    """At the root: append those `records` that change something; returns how many did."""
    name = StreamName(tx.node, DESIRED)
    tx.open_stream(name, content_type="application/msgpack", lane="control", reach="node")
    changed = []
    for record in records:
        held = tx.get_state(DESIRED, record.key)
        if (held is None and record.document is None) or (held and _decode(held).revision == record.revision):
            continue
        changed.append(encode_record(record))
    if changed:
        tx.append(name, changed)
    return len(changed)


def wanted(store: Store) -> dict[str, Wanted]:
    """The folded desired state, by "Kind/name"."""
    return {key: _wanted(value) for key, value in store.state(DESIRED).items()}


def _wanted(value: bytes) -> Wanted:
    record = _decode(value)
    assert record.document is not None
    resource = msgspec.json.decode(record.document, type=KINDS[record.kind])
    return Wanted(resource, record.revision, record.bundle)


def is_deployable(resource: Resource) -> bool:
    """Whether the resource is desired state (a Node configures a process instead)."""
    return isinstance(resource, (App, Namespace, Rule))
