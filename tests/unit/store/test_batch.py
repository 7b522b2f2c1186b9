"""Batches: what a row proves, and what it refuses."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.errors import StorageCorrupt
from littoral.core.limits import BATCH_BYTES, BATCH_RECORDS, RECORD_BYTES
from littoral.core.names import StreamName
from littoral.store.batch import CHAIN_START, CODEC_PLAIN, CODEC_ZSTD, Batch, chain_after, make_batch, pack, trim

NAME = StreamName("plant-a", "readings")


def batch_of(*records: bytes, first: int = 0, chain: bytes = CHAIN_START) -> Batch:
    return make_batch(NAME, "l1", first, records, 1000, chain)


@given(st.lists(st.binary(max_size=600), min_size=1, max_size=40), st.integers(0, 2**40))
def test_what_goes_in_comes_out(records: list[bytes], first: int):
    batch = batch_of(*records, first=first)
    batch.check()
    assert batch.records() == records
    assert (batch.name, batch.first, batch.next) == (NAME, first, first + len(records))


def test_only_what_becomes_smaller_is_compressed():
    assert pack([b"x" * 100])[0] == CODEC_PLAIN
    codec, payload = pack([b"x" * 10_000])
    assert codec == CODEC_ZSTD
    assert len(payload) < 200
    assert pack([bytes((n * n * 31 + n // 7) % 256 for n in range(200)), *(bytes([n]) for n in range(10))])[0] == 0


@given(st.data())
def test_any_changed_byte_of_the_payload_is_found(data: st.DataObject):
    batch = batch_of(*data.draw(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5)))
    place = data.draw(st.integers(0, len(batch.payload) - 1))
    changed = bytearray(batch.payload)
    changed[place] ^= data.draw(st.integers(1, 255))
    damaged = msgspec.structs.replace(batch, payload=bytes(changed))
    with pytest.raises(StorageCorrupt, match=r"plant-a/readings \[0, \d+\): its checksum does not match"):
        damaged.check()
    with pytest.raises(StorageCorrupt, match="its checksum does not match"):
        damaged.records()


@pytest.mark.parametrize("change", [{"first": 1, "next": 3}, {"chain_before": b"x" * 16}, {"chain": b"x" * 16}])
def test_offsets_and_chain_are_proved_too(change: dict[str, object]):
    batch = msgspec.structs.replace(batch_of(b"a", b"b"), **change)
    with pytest.raises(StorageCorrupt, match="its chain hash does not match"):
        batch.check()


def test_a_payload_that_is_not_what_the_row_says_is_refused():
    batch = batch_of(b"a", b"b")
    with pytest.raises(StorageCorrupt, match="it holds 2 records"):
        msgspec.structs.replace(batch, next=3).records()
    codec_lies = msgspec.structs.replace(batch, codec=CODEC_ZSTD)
    with pytest.raises(StorageCorrupt, match="it cannot be decoded"):
        codec_lies.records()


def test_the_chain_stands_for_the_whole_history():
    one = batch_of(b"a")
    two = batch_of(b"b", first=1, chain=one.chain)
    assert two.chain_before == one.chain
    assert two.chain == chain_after(one.chain, 1, 2, two.payload)
    assert batch_of(b"b", first=1, chain=batch_of(b"x").chain).chain != two.chain


def test_a_trimmed_batch_keeps_the_chain_that_follows_and_can_still_be_checked():
    whole = batch_of(b"a", b"b", b"c")
    rest = trim(whole, 1)
    rest.check()
    assert rest.records() == [b"b", b"c"]
    assert (rest.first, rest.next, rest.chain, rest.chain_before) == (1, 3, whole.chain, b"")
    with pytest.raises(StorageCorrupt, match="its checksum does not match"):
        msgspec.structs.replace(rest, payload=whole.payload).check()


def test_the_largest_batch_that_limits_allow_can_be_read():
    """What a node has acknowledged it can give away again, whatever its limits are set to."""
    largest = [
        [bytes(RECORD_BYTES.most)],
        [bytes(BATCH_BYTES.most // BATCH_RECORDS.most)] * BATCH_RECORDS.most,
    ]
    for records in largest:
        batch = make_batch(NAME, "l", 0, records, 0, CHAIN_START)
        assert batch.codec == CODEC_ZSTD
        assert len(batch.records()) == len(records)
