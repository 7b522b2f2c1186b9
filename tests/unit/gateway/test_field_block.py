"""Fields that are sent many times are written once."""

import pytest

from littoral.gateway import field_block
from littoral.gateway.field_block import FieldBlock, encode_fields


def test_a_block_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def counted(fields: field_block.Fields) -> bytes:
        written.append(fields)
        return encode_fields(fields)

    monkeypatch.setattr(field_block, "encode_fields", counted)
    block = FieldBlock((("a", "b"), ("c", "\xe9")))
    assert written == []
    assert [block.encoded for _ in range(2)] == [b"a: b\r\nc: \xe9\r\n"] * 2
    assert len(written) == 1


def test_it_has_nothing_else() -> None:
    with pytest.raises(AttributeError):
        _ = FieldBlock(()).endcoded  # type: ignore[attr-defined]


def test_it_knows_what_its_writer_need_not_say() -> None:
    assert FieldBlock([("date", "x")]).has_date
    assert FieldBlock([("content-length", "1")]).frames
    assert not FieldBlock([("x-date", "x")]).has_date
