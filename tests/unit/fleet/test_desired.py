"""The desired state as a stream and as a fold."""

import asyncio
from functools import partial

import msgspec
import pytest

from littoral.core.errors import InvalidInput
from littoral.core.resources import Namespace, Rule
from littoral.core.resources.part import Metadata
from littoral.core.resources.rule import Window
from littoral.fleet.bundles import revision_of
from littoral.fleet.desired import (
    DesiredFold,
    DesiredRecord,
    check_record,
    encode_record,
    record_of,
    submit_desired,
    wanted,
)
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.tree import SimTree
from tests.support.stores import SimStore, name
from tests.support.vertical import RULE


def namespace(text: str) -> Namespace:
    return Namespace(api_version="littoral/v1", metadata=Metadata(name=text))


def test_the_newest_record_of_each_resource_counts_and_a_withdrawn_one_is_gone(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        await tree.apply(root, RULE, namespace("lines"))
        changed = msgspec.structs.replace(RULE, metadata=Metadata(name="temperature", labels={"a": "b"}))
        await tree.apply(root, changed)
        await tree.until(lambda: site.running.desired.wanted.get("Rule/temperature"))
        await tree.until(lambda: site.running.desired.wanted["Rule/temperature"].resource == changed)
        records = len(root.records("cloud/desired"))
        await tree.apply(root, changed)
        assert len(root.records("cloud/desired")) == records, "what is desired already is not written again"
        await tree.stop()

    run(main, seed=seed)


def test_records_from_before_code_could_be_a_blob_are_read_and_named_as_they_were():
    new = record_of(RULE, None)
    old = {"kind": new.kind, "name": new.name, "revision": new.revision, "document": new.document, "bundle": None}
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=DesiredRecord)
    assert read == new
    assert read.named_rightly()
    assert new.revision == revision_of(new.document or b"", b"")


def _submit(records: list[DesiredRecord], tx: Transaction) -> int:
    return submit_desired(tx, records)


def test_what_was_changed_and_at_once_changed_back_is_as_it_was_last_wanted(seed: int):
    """The fold is a step behind: what it says is no reason to leave out a change."""

    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        first = record_of(namespace("lines"), None)
        other = record_of(
            msgspec.structs.replace(namespace("lines"), metadata=Metadata(name="lines", labels={"a": "b"})), None
        )
        await root.running.store.submit(partial(_submit, [first]))
        await tree.until(lambda: "Namespace/lines" in root.running.desired.wanted)
        changes = ([other], [first], [DesiredRecord("Namespace", "lines", "", None)], [first])
        submitted = [root.running.store.submit(partial(_submit, records)) for records in changes]
        await asyncio.gather(*submitted)
        await asyncio.sleep(1)
        assert root.running.desired.wanted["Namespace/lines"].revision == first.revision
        await tree.stop()

    run(main, seed=seed)


@pytest.mark.parametrize("publisher", ["plant-a", "eu"])
def test_only_the_root_says_what_is_desired(publisher: str, seed: int):
    """A stream by the same name from below is shipped as any other, and nothing is done about it."""

    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        region = await tree.start_child("eu", "region", root)
        site = await tree.start_child("plant-a", "site", region)
        other = await tree.start_child("plant-b", "site", region)

        def publish(tx) -> None:
            tx.open_stream(name(f"{publisher}/desired"), content_type="application/msgpack", lane="control")
            tx.append(name(f"{publisher}/desired"), [encode_record(record_of(RULE, None))])

        await tree.nodes[publisher].running.store.submit(publish)
        await tree.until(lambda: root.records(f"{publisher}/desired"))
        await tree.apply(root, namespace("lines"))
        everybody = (root, region, site, other)
        await tree.until(lambda: all("Namespace/lines" in node.running.desired.wanted for node in everybody))
        assert all("Rule/temperature" not in node.running.desired.wanted for node in everybody)
        await tree.stop()

    run(main, seed=seed)


def test_what_this_version_cannot_read_is_said_and_the_rest_is_done():
    async def main() -> None:
        sim = SimStore("plant-a")
        store = sim.open()
        unknown = DesiredRecord("Teleporter", "t", "1", b"{}")
        newer = DesiredRecord("Rule", "r", "1", b'{"kind": "Rule", "fromTheFuture": 1}')
        known = record_of(namespace("lines"), None)
        fold = DesiredFold("plant-a", "cloud")
        records = [encode_record(each) for each in (unknown, newer, known)]
        await store.submit(lambda tx: fold.apply(tx, name("cloud/desired"), 0, records))
        found, unread = wanted(store)
        assert list(found) == ["Namespace/lines"]
        newer_said, unknown_said = sorted(unread)
        assert "Teleporter/t: this version of Littoral knows no such kind. Update this node" in unknown_said
        assert "Rule/r: this version of Littoral cannot read it" in newer_said

    run(main)


def test_what_is_no_record_is_for_the_dead_letters():
    async def main() -> None:
        store = SimStore("plant-a").open()
        fold = DesiredFold("plant-a", "cloud")
        with pytest.raises(InvalidInput, match="it is no desired state"):
            await store.submit(lambda tx: fold.apply(tx, name("cloud/desired"), 0, [b"\xc1"]))

    run(main)


def bad_window() -> DesiredRecord:
    spec = msgspec.structs.replace(RULE.spec, window=Window(tumbling="0s"))
    return record_of(msgspec.structs.replace(RULE, spec=spec), None)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (DesiredRecord("Teleporter", "t", "1", b"{}"), "knows no such kind"),
        (DesiredRecord("Teleporter", "t", "1", None), "there is no such kind. There are: App, Namespace, Rule"),
        (DesiredRecord("Rule", "r", "1", b"{}"), "cannot read it"),
        (msgspec.structs.replace(record_of(RULE, None), name="other"), "the document is named temperature"),
        (bad_window(), "spec.window.tumbling"),
        (msgspec.structs.replace(record_of(RULE, None), revision="1"), "its revision is not the hash of document"),
        (msgspec.structs.replace(record_of(RULE, None), bundle=b"x"), "its revision is not the hash of document"),
    ],
)
def test_what_every_node_would_stumble_over_does_not_become_desired(record: DesiredRecord, said: str):
    with pytest.raises(InvalidInput, match=said):
        check_record(record)


def test_a_rule_that_is_well_is_let_through():
    check_record(record_of(RULE, None))
    assert isinstance(RULE, Rule)
