"""Desired state: what is to run where, as a stream of the root's that every node folds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from littoral.core.errors import InvalidInput, InvalidResource
from littoral.core.function_limits import APP_REVISIONS
from littoral.core.limits import READ_BYTES
from littoral.core.names import StreamName
from littoral.core.resources import App, GlobalTopics, Namespace, Origin, Resource, Route, Rule
from littoral.core.resources.checks import checks
from littoral.core.resources.problem import path_text
from littoral.core.undecodable import UNDECODABLE
from littoral.fleet.app_history import History
from littoral.fleet.bundles import revision_of, unpack_bundle
from littoral.fleet.code_parts import CodePart

if TYPE_CHECKING:
    # Commands make such records, and have no store.
    from littoral.store.store import Store
    from littoral.store.stream import StreamInfo
    from littoral.store.transaction import Transaction

DESIRED = "desired"
"""Path of the stream at the root, and scope of the folded state at every node."""

Deployable = App | Namespace | Rule | Route | Origin | GlobalTopics
D = TypeVar("D", App, Namespace, Rule, Route, Origin, GlobalTopics)
KINDS: dict[str, type[Deployable]] = {
    "App": App,
    "Namespace": Namespace,
    "Rule": Rule,
    "Route": Route,
    "Origin": Origin,
    "GlobalTopics": GlobalTopics,
}
SECRETS_KIND = "Secrets"
"""Of records that are no resources: an app's secrets, sealed (littoral.fleet.secrets)."""


class DesiredRecord(msgspec.Struct, frozen=True):
    """One change of the desired state."""

    kind: str
    name: str
    revision: str
    """Hash of document, bundle and code: equal revisions are the same thing."""
    document: bytes | None
    """The resource as JSON; None withdraws it."""
    bundle: bytes | None = None
    """An app's own code, where it is small: a zstd-compressed msgpack map of path to bytes."""
    code: tuple[CodePart, ...] = ()
    """The parts of its code that are blobs."""

    @property
    def key(self) -> str:
        """Where the folded state keeps it."""
        return f"{self.kind}/{self.name}"

    def named_rightly(self) -> bool:
        """Whether its revision is the hash of what it holds."""
        return self.revision == _revision(self.document or b"", self.bundle, self.code)


class Wanted(msgspec.Struct, frozen=True):
    """A resource with its revision."""

    resource: Deployable
    revision: str
    bundle: bytes | None
    code: tuple[CodePart, ...] = ()


_decode = msgspec.msgpack.Decoder(DesiredRecord).decode
encode_record = msgspec.msgpack.Encoder().encode


def record_of(resource: Deployable, bundle: bytes | None, code: Sequence[CodePart] = ()) -> DesiredRecord:
    """The record that makes `resource` desired; an app comes with its code."""
    document = msgspec.json.encode(resource, order="deterministic")
    revision = _revision(document, bundle, code)
    return DesiredRecord(type(resource).__name__, resource.metadata.name, revision, document, bundle, tuple(code))


def withdrawal(kind: str, name: str) -> DesiredRecord:
    """The record that makes a resource desired no longer."""
    return DesiredRecord(kind, name, _revision(b"", None, ()), None)


def _revision(document: bytes, bundle: bytes | None, code: Sequence[CodePart]) -> str:
    return revision_of(document, bundle or b"", *(f"{part.name} {part.digest}".encode() for part in code))


def is_desired(info: "StreamInfo", node: str, parent: str) -> bool:
    """Whether a stream is the tree's desired state: at the root its own, elsewhere the one that came from above. A
    stream of that name from below is anybody's, and nothing is done about it."""
    if info.name.path != DESIRED:
        return False
    return info.via == parent if parent else info.name.origin == node


def check_record(record: DesiredRecord) -> None:
    """Before a record becomes desired at the root: every node is going to act on it. Raises InvalidInput."""
    if record.document is None:
        if record.kind not in KINDS:
            raise InvalidInput("withdraw", record.key[:160], "there is no such kind", f"There are: {', '.join(KINDS)}")
        return
    resource = resource_of(record)
    for path, cause in checks(resource):
        raise InvalidResource("apply", record.key[:160], f"{path_text(path)}: {cause}")
    if record_of(resource, None).key != record.key:
        raise InvalidInput("apply", record.key[:160], f"the document is named {resource.metadata.name}")
    if not record.named_rightly():
        # Nodes take equal revisions for the same thing, and would go on with what they have.
        raise InvalidInput(
            "apply", record.key[:160], "its revision is not the hash of document and bundle", "Use `littoral apply`"
        )
    if isinstance(resource, App):
        _check_code(record)


def _check_code(record: DesiredRecord) -> None:
    """Raises InvalidInput. That its blobs are here is for who has them to say."""
    names = [part.name for part in record.code]
    if len(set(names)) < len(names):
        raise InvalidInput("apply", record.key[:160], f"a part of its code is there twice ({', '.join(names)})")
    if record.bundle is not None and "own" in names:
        raise InvalidInput("apply", record.key[:160], "its own code is a bundle, and a blob as well")
    if record.bundle is not None or "own" not in names:
        unpack_bundle(record.name, record.bundle or b"")


class DesiredFold:
    """Keeps the newest record of each resource."""

    name = "desired"

    def __init__(self, node: str, parent: str) -> None:
        """parent: the parent's name; empty at the root."""
        self._node = node
        self._parent = parent

    def wants(self, info: "StreamInfo") -> bool:
        return is_desired(info, self._node, self._parent)

    def apply(self, tx: "Transaction", source: StreamName, first: int, records: Sequence[bytes]) -> None:
        for data in records:
            try:
                record = _decode(data)
            except UNDECODABLE as error:
                raise InvalidInput("apply", str(source), f"it is no desired state ({error})") from error
            tx.put_state(DESIRED, record.key, None if record.document is None else data)


def submit_desired(
    tx: "Transaction", records: Sequence[DesiredRecord], revisions_most: int = APP_REVISIONS.default
) -> int:
    """At the root: append those `records` that change something; returns how many did. revisions_most: of one app that are
    kept, to go back to."""
    name = StreamName(tx.node, DESIRED)
    # What is not folded yet may have changed the resource since: then nothing is known to be as it is wanted.
    info = tx.open_stream(name, content_type="application/msgpack", lane="control", reach="node")
    folded = tx.fold_offset(DesiredFold.name, name) == info.next
    history = History(tx, revisions_most) if any(record.kind == App.__name__ for record in records) else None
    changed = []
    for record in records:
        held = tx.get_state(DESIRED, record.key)
        if folded and _is_as(record, held):
            continue
        data = encode_record(record)
        changed.append(data)
        if history is not None and record.kind == App.__name__:
            _note(history, record, data)
    if changed:
        tx.append(name, changed)
    return len(changed)


def _note(history: History, record: DesiredRecord, data: bytes) -> None:
    if record.document is None:
        history.forget(record.name)
    else:
        history.note(record.name, record.revision, record.code, data)


def _is_as(record: DesiredRecord, held: bytes | None) -> bool:
    """Whether the resource is folded as `record` wants it."""
    if held is None:
        return record.document is None
    return _decode(held).revision == record.revision


def wanted(store: "Store") -> tuple[dict[str, Wanted], list[str]]:
    """The folded desired state, by "Kind/name"; and in words what of it this version cannot read: a newer root may
    know more kinds and fields, and what else it wants is done all the same."""
    found: dict[str, Wanted] = {}
    unread: list[str] = []
    for key, value in store.state(DESIRED).items():
        if key.startswith(f"{SECRETS_KIND}/"):
            continue
        try:
            found[key] = _wanted(value)
        except InvalidInput as error:
            unread.append(str(error))
    return found, unread


def newest(store: "Store") -> dict[str, Wanted]:
    """At the root: the desired state by "Kind/name", with what is appended and not folded yet."""
    name = StreamName(store.node, DESIRED)
    info = store.stream(name)
    # Looked up before the state: what is folded meanwhile is then only put on top of itself.
    offset = max(info.first, store.fold_offset(DesiredFold.name, name)) if info is not None else 0
    found, _ = wanted(store)
    while info is not None and offset < info.next:
        for batch in store.read(name, offset, READ_BYTES.default):
            for data in batch.records()[max(0, offset - batch.first) :]:
                record = _decode(data)
                found.pop(record.key, None)
                if record.document is not None and record.kind in KINDS:
                    found[record.key] = _wanted(data)
            offset = batch.next
    return found


def desired_in(tx: "Transaction", kind: type[D], name: str) -> D | None:
    """The resource of that name as this transaction sees it, or None. Raises InvalidInput as `resource_of`."""
    value = tx.get_state(DESIRED, f"{kind.__name__}/{name}")
    resource = resource_of(_decode(value)) if value is not None else None
    assert resource is None or isinstance(resource, kind), (kind, name)
    return resource


def _wanted(value: bytes) -> Wanted:
    record = _decode(value)
    return Wanted(resource_of(record), record.revision, record.bundle, record.code)


def resource_of(record: DesiredRecord) -> Deployable:
    """The resource that a record makes desired. Raises InvalidInput that names the field."""
    kind = KINDS.get(record.kind)
    if kind is None:
        raise InvalidInput(
            "read desired state of",
            f"{record.kind[:80]}/{record.name[:80]}",
            "this version of Littoral knows no such kind",
            "Update this node, or withdraw the resource",
        )
    try:
        return msgspec.json.decode(record.document or b"", type=kind)
    except UNDECODABLE as error:
        raise InvalidInput(
            "read desired state of",
            record.key[:160],
            f"this version of Littoral cannot read it ({error})",
            "Update this node, or withdraw the resource",
        ) from error


def is_deployable(resource: Resource) -> bool:
    """Whether the resource is desired state (a Node configures a process instead)."""
    return isinstance(resource, tuple(KINDS.values()))
