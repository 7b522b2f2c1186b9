"""Keys that have expired: read nowhere from then on, and removed in time."""

import asyncio
from functools import partial

import pytest

from littoral.core.kv import KvEntry
from littoral.core.tasks import Tasks
from littoral.fleet.expired_keys import EVERY_S, KEYS_AT_ONCE, ExpiredKeys
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from tests.support.stores import SimStore


def test_values_are_removed_once_their_keys_have_expired_however_many_they_are():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        expires_s = sim.clock.wall_ms() // 1000 + 90
        for n in range(KEYS_AT_ONCE + 10):
            put = partial(Transaction.kv_put, namespace="ns", key=f"k{n}", value=b"v", expires_s=expires_s)
            await store.submit(put)
        await store.submit(lambda tx: tx.kv_put("ns", "stays", b"v"))
        failures: list[BaseException] = []
        expired = ExpiredKeys(store, sim.clock, pytest.fail)
        tasks = Tasks(failures.append)
        tasks.start(expired.run(), "expired keys")
        await asyncio.sleep(EVERY_S + 1)
        assert expired.swept == 0
        await asyncio.sleep(EVERY_S)
        assert expired.swept == KEYS_AT_ONCE + 10
        living = [entry.key for entry in store.kv_entries("ns", "", 10_000) if entry.value is not None]
        assert living == ["stays"]
        await tasks.stop()
        assert not failures

    run(main)


def test_what_the_disk_refuses_is_tried_again():
    async def main() -> None:
        sim = SimStore()
        store = sim.open()
        expires_s = sim.clock.wall_ms() // 1000 + 1
        await store.submit(lambda tx: tx.kv_put("ns", "k", b"v", expires_s))
        warnings: list[str] = []
        failures: list[BaseException] = []
        expired = ExpiredKeys(store, sim.clock, warnings.append)
        tasks = Tasks(failures.append)
        tasks.start(expired.run(), "expired keys")
        sim.disk.read_only = True
        await asyncio.sleep(EVERY_S + 1)
        assert "the file system does not take writes" in warnings[0]
        sim.disk.read_only = False
        await asyncio.sleep(EVERY_S)
        entry = store.kv_get("ns", "k")
        assert isinstance(entry, KvEntry)
        assert entry.value is None
        await tasks.stop()
        assert not failures

    run(main)
