"""Fields that are packed are read as they were by a decoder that is not ours."""

import pytest
from hpack import Decoder, Encoder, HPACKError, InvalidTableIndex, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire import packed_fields
from littoral.wire.packed_fields import FieldPacker, FieldUnpacker, packed
from littoral.wire.request_head import Field

names = st.one_of(
    st.sampled_from(["content-type", "age", "set-cookie", "x-a", "www-authenticate", ":status", "vary"]),
    st.text("abcx-", min_size=1, max_size=9),
    st.integers(120, 300).map(lambda length: "n" * length),
)
values = st.one_of(
    st.sampled_from(["200", "404", "", "gzip, deflate"]),
    st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=9),
    st.integers(120, 400).map(lambda length: "\xff" * length),
)


@given(st.lists(st.lists(st.tuples(names, values), min_size=1), min_size=1))
def test_fields_are_read_as_they_were(heads: list[list[Field]]) -> None:
    packer, decoder = FieldPacker(), Decoder()
    decoder.max_header_list_size = 1 << 30
    for head in heads:
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head]
        read = decoder.decode(packer.encode([*lines, (b"", packed(head))]), raw=True)
        assert [tuple(each) for each in read] == [*lines, *lines]
        assert decoder.header_table.get_by_index(1) == (b":authority", b"")
        assert not decoder.header_table.dynamic_entries


@pytest.mark.parametrize(
    ("field", "written"),
    [
        ((":status", "200"), b"\x88"),
        ((":status", "418"), b"\x08\x03418"),
        (("age", "5"), b"\x0f\x06\x015"),
        (("x-a", "b"), b"\x00\x03x-a\x01b"),
        (("x", "y" * 127), b"\x00\x01x\x7f\x00" + b"y" * 127),
        (("x", "y" * 300), b"\x00\x01x\x7f\xad\x01" + b"y" * 300),
        (("set-cookie", "a=b"), b"\x1f\x28\x03a=b"),
    ],
)
def test_how_a_field_is_written(field: Field, written: bytes) -> None:
    assert packed([field]) == packed([field]) == written


def test_what_is_secret_is_kept_by_nobody() -> None:
    (read,) = Decoder().decode(packed([("set-cookie", "secret=1")]), raw=True)
    assert isinstance(read, NeverIndexedHeaderTuple)
    assert not any("secret" in value for _, value in packed_fields._kept)


def test_a_decoder_that_makes_its_table_smaller_is_told_first_that_none_is_used() -> None:
    decoder = Decoder()
    decoder.max_allowed_table_size = 0
    packer = FieldPacker()
    assert packer.encode([(b"x-a", b"b")])[:1] == b"\x20"
    (read,) = decoder.decode(FieldPacker().encode([(b"x-a", b"b")]), raw=True)
    assert tuple(read) == (b"x-a", b"b")
    assert packer.encode([(b"x-a", b"b")])[:1] == b"\x00"


def test_what_is_kept_is_bounded() -> None:
    for number in range(3 * packed_fields._FIELDS_KEPT):
        packed([("x-number", str(number)), ("x-large", "y" * 300 + str(number))])
    assert len(packed_fields._kept) <= packed_fields._FIELDS_KEPT
    assert not any(name == "x-large" for name, _ in packed_fields._kept)


def outcome(decoder: Decoder, data: bytes) -> object:
    """The fields, or what is wrong with them."""
    try:
        return list(decoder.decode(data, raw=True))
    except HPACKError as error:
        return type(error)


heads = st.lists(
    st.tuples(st.sampled_from(["a", "b", "cookie", "x" * 200]), st.sampled_from(["", "1", "2", "y" * 300])),
    min_size=1,
    max_size=4,
)


@given(
    st.lists(st.tuples(heads, st.sampled_from([None, 0, 100, 4096])), max_size=4),
    st.lists(st.integers(0, 3), max_size=30),
)
def test_heads_are_read_as_by_the_library_however_often_they_come(
    said: list[tuple[list[Field], int | None]], order: list[int]
) -> None:
    encoder, plain, ours = Encoder(), Decoder(), FieldUnpacker(1 << 16)
    for number in order:
        if number >= len(said):
            continue
        fields, size = said[number]
        if size is not None:
            encoder.header_table_size = size
        data = encoder.encode(fields)
        for _ in range(2):
            # The second time nothing has changed, or it means something else, or nothing.
            read = outcome(ours, data)
            assert read == outcome(plain, data)
            if not isinstance(read, list):
                return
        encoder.header_table.dynamic_entries.clear()
        encoder.header_table.dynamic_entries.extend(plain.header_table.dynamic_entries)
        encoder.header_table._current_size = plain.header_table._current_size
        assert ours.header_table.dynamic_entries == plain.header_table.dynamic_entries


def test_a_head_that_comes_again_is_read_once_until_the_table_changes() -> None:
    encoder, ours = Encoder(), FieldUnpacker(1 << 16)
    ours.decode(encoder.encode([("x-a", "1")]), raw=True)
    again = encoder.encode([("x-a", "1")])
    assert ours.decode(again, raw=True) is ours.decode(again, raw=True)
    # From now on the same bytes speak of another field.
    ours.decode(encoder.encode([("x-b", "2")]), raw=True)
    assert list(ours.decode(again, raw=True)) == [(b"x-b", b"2")]


@pytest.mark.parametrize("size", [b"\x20", b"\x3f\x01"], ids=["0", "32"])
def test_a_smaller_table_changes_what_heads_say(size: bytes) -> None:
    encoder, ours = Encoder(), FieldUnpacker(1 << 16)
    ours.decode(encoder.encode([("x-a", "1")]), raw=True)
    again = encoder.encode([("x-a", "1")])
    ours.decode(again, raw=True)
    ours.decode(size + packed([("x-b", "2")]), raw=True)
    with pytest.raises(InvalidTableIndex):
        ours.decode(again, raw=True)


def test_the_heads_that_are_kept_are_few() -> None:
    ours = FieldUnpacker(1 << 16)
    for number in range(100):
        ours.decode(packed([("x-a", str(number))]), raw=True)
        ours.decode(packed([("x-large", "y" * 300)]), raw=True)
    assert len(ours._heads) <= packed_fields._HEADS_KEPT
    assert all(len(data) < 300 for data in ours._heads)
