import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.errors import InvalidInput
from littoral.wire.json_messages import join_messages, split_messages

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b'{"a": 1.10}', [b'{"a": 1.10}']),
        (b'[{"a":1},\n {"b":2}]', [b'{"a":1}', b'{"b":2}']),
        (b"[[1,2], [3,4]]", [b"[1,2]", b"[3,4]"]),
        (b"[[[1,2,3]]]", [b"[[1,2,3]]"]),
        (b" [] ", []),
        (b" 7\n", [b"7"]),
        (b"123456789012345678901234567890", [b"123456789012345678901234567890"]),
    ],
)
def test_one_level_is_taken_off_and_bytes_are_kept(body: bytes, messages: list[bytes]) -> None:
    assert split_messages(body) == messages


@pytest.mark.parametrize("body", [b"", b" ", b"{", b"[1,]", b"1 2", b'"\xff"', b"NaN", b"[1] x", b"\xef\xbb\xbf1"])
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="not JSON"):
        split_messages(body)


def test_a_tower_of_brackets_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too deeply"):
        split_messages(b"[" * 100_000 + b"]" * 100_000)


@given(st.lists(VALUES))
def test_what_goes_in_as_an_array_comes_out_as_one(values: list[object]) -> None:
    assert json.loads(join_messages(split_messages(json.dumps(values, indent=1).encode()))) == values
