"""Tests for littoral.workers.rpc_values."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.workers import ReadableStream
from littoral.workers.rpc_values import STREAM_BYTES, copied, dump_values, load_values, sent_values

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=5, minutes=30))))
)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_values_arrive_as_they_were(value: Any) -> None:
    assert load_values(dump_values(value)) == value


def test_what_arrives_as_something_like_it() -> None:
    assert load_values(dump_values((1, {2: bytearray(b"x")}))) == [1, {"2": b"x"}]
    moment = datetime(2026, 11, 22, 7, 15)  # noqa: DTZ001
    assert load_values(dump_values(moment)).tzinfo is None


@pytest.mark.parametrize("value", [object(), {1, 2}, [lambda: 1], 1j])
def test_what_cannot_travel_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="apps pass None, bool, numbers"):
        dump_values(value)


def test_streams_arrive_with_all_that_they_held() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async def scenario() -> None:
        sent = await sent_values({"a": [ReadableStream(pieces()), 1], "b": b"x"})
        arrived = load_values(sent)
        assert (await arrived["a"][0].whole(), arrived["a"][1], arrived["b"]) == (b"one two", 1, b"x")
        assert load_values(await sent_values([1])) == [1]
        with pytest.raises(ValueError, match="at most 16777216 bytes"):
            await sent_values([ReadableStream(bytes(STREAM_BYTES + 1))])

    asyncio.run(scenario())


@settings(max_examples=25)
@given(VALUES)
def test_a_copy_is_what_would_have_arrived(value: Any) -> None:
    assert copied(value) == load_values(dump_values(value))


def test_a_copy_is_no_part_of_the_original_and_streams_are_the_same() -> None:
    stream, value = ReadableStream(b"x"), {"a": [1]}
    given, same = copied([value, stream])
    given["a"].append(2)
    assert (value, same is stream) == ({"a": [1]}, True)
    with pytest.raises(TypeError, match="not object"):
        copied([object()])


def test_what_nobody_wrote_is_refused() -> None:
    with pytest.raises(ValueError, match="extension 9 is not known"):
        load_values(b"\xd4\x09x")
