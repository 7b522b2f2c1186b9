"""Stores of older formats are brought up to this one, whole or not at all."""

import apsw
import pytest

from littoral.core.errors import StorageError, StorageFull
from littoral.core.kv import KvEntry
from littoral.store.migrations import STEPS
from littoral.store.mqtt_reads import MqttReads
from littoral.store.schema import FORMAT_VERSION
from littoral.store.store import Store
from littoral.testing.disk import CutAt, PowerCut
from littoral.testing.loop import run
from tests.support.format_1 import make_format_1, schema_of, version_of
from tests.support.stores import SimStore

TOMBSTONE = KvEntry("k1", None, 7, "plant-a")


def check(store: Store) -> None:
    """It is as if it had always been of this format, and holds what it held."""
    assert version_of(store) == FORMAT_VERSION
    assert schema_of(store) == schema_of(SimStore("fresh").open())
    assert store.kv_entries("ns", "", 10) == [KvEntry("k0", b"\0", 5, "plant-a"), TOMBSTONE]
    assert store.kv_with_tombstones(8) == ["ns"]


def test_there_is_a_step_from_every_version_to_the_next():
    assert sorted(STEPS) == list(range(1, FORMAT_VERSION))


def test_a_store_of_version_1_becomes_what_a_new_one_is_and_goes_on():
    async def main() -> None:
        sim = SimStore()
        make_format_1(sim)
        store = sim.open()
        check(store)
        await store.submit(lambda tx: tx.kv_forget("ns", 8, 10))
        await store.close()
        store = sim.open()
        assert version_of(store) == FORMAT_VERSION
        assert store.kv_horizon("ns") == 7

    run(main)


def test_what_waited_for_mqtt_clients_before_version_7_may_have_been_sent():
    connection = apsw.Connection(":memory:")
    connection.execute(STEPS[5])
    connection.execute("INSERT INTO mqtt_sessions VALUES(1, 'c', 5, 60, 77, 3)")
    connection.execute("INSERT INTO mqtt_messages VALUES(8, x'', x'')")
    connection.execute(STEPS[6])
    assert [row.sent for row in MqttReads(connection).sessions()] == [9]
    connection.close()


def test_a_power_cut_at_any_moment_of_it_leaves_one_or_the_other():
    async def main() -> None:
        operation = 0
        while True:
            operation += 1
            sim = SimStore(seed=operation)
            make_format_1(sim)
            sim.disk.schedule_cut(CutAt(sim.disk.points + operation, takes_effect=operation % 2 == 0))
            try:
                sim.open()
            except (PowerCut, StorageError):
                sim.died()
                check(sim.open())
                continue
            break
        assert operation > 5, "it was cut at no moment"

    run(main)


def test_a_disk_that_is_full_leaves_the_store_as_it_was():
    async def main() -> None:
        sim = SimStore()
        make_format_1(sim)
        capacity, sim.disk.capacity_bytes = sim.disk.capacity_bytes, 0
        with pytest.raises(StorageFull):
            sim.open()
        sim.disk.capacity_bytes = capacity
        check(sim.open())

    run(main)
