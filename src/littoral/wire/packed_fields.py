"""Header fields as HPACK writes them (RFC 7541), in less time than the library takes.

An encoder that keeps a table of what it has sent looks through it for every field of every answer, and changes it with most.
Without one, a field is the same bytes on every connection: those are kept, and an answer's head is put together from them. It is
some hundred bytes longer for that, and takes a tenth of the time.

A head that comes once more, and changes nothing in the table of its connection, says the same once more.
"""

from collections.abc import Iterable

from hpack import Decoder, HeaderTuple
from hpack.table import HeaderTable

from littoral.wire.request_head import Field

_FIELDS_KEPT = 4096
_KEPT_BYTES = 256
_kept: dict[Field, bytes] = {}
"""Most answers have most fields in common."""
_SECRET = frozenset({"set-cookie", "authorization", "proxy-authorization"})
"""Never to be put into a table by anybody on the way (section 7.1.3)."""
_STATIC_FIELDS: dict[Field, int] = {}
_STATIC_NAMES: dict[str, int] = {}
for _index, (_name, _value) in enumerate(HeaderTable.STATIC_TABLE, 1):
    _STATIC_FIELDS.setdefault((_name.decode(), _value.decode()), _index)
    _STATIC_NAMES.setdefault(_name.decode(), _index)
_NO_TABLE = b"\x20"
"""A table of no size at all (section 6.3)."""
_SIZES = range(0x20, 0x40)
"""What a table's size begins with."""
_HEADS_KEPT = 8
"""Of each connection."""


def packed(fields: Iterable[Field]) -> bytes:
    """One after the other. Names in lower case, values as latin-1."""
    kept = _kept
    return b"".join([kept.get(field) or _packed(field) for field in fields])


def _packed(field: Field) -> bytes:
    name, value = field
    if (index := _STATIC_FIELDS.get(field)) is not None:
        written = _integer(index, 7, 0x80)
    else:
        kind = 0x10 if name in _SECRET else 0
        text = value.encode("latin-1")
        written = _integer(_STATIC_NAMES.get(name, 0), 4, kind)
        if name not in _STATIC_NAMES:
            written += _integer(len(name), 7, 0) + name.encode("latin-1")
        written += _integer(len(text), 7, 0) + text
    if len(written) <= _KEPT_BYTES and name not in _SECRET:
        if len(_kept) >= _FIELDS_KEPT:
            _kept.clear()
        _kept[field] = written
    return written


def _integer(value: int, bits: int, flags: int) -> bytes:
    """Section 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((flags | value,))
    written = [flags | most]
    value -= most
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


class FieldPacker:
    """Takes the place of the encoder of an `H2Connection`."""

    def __init__(self) -> None:
        self.header_table_size = 0
        """Set when the other side says how large a table it has room for; none is used."""
        self._is_first = True

    def encode(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """A head. headers: one whose name is empty holds fields that were `packed` before."""
        written = b"".join(
            [
                value if not name else packed(((name.decode("latin-1"), value.decode("latin-1")),))
                for name, value in headers
            ]
        )
        if self._is_first:
            self._is_first = False
            return _NO_TABLE + written
        return written


class _Table(HeaderTable):
    """What a client has sent, of which it may speak by numbers."""

    has_changed = False

    def add(self, name: bytes, value: bytes) -> None:
        """See HeaderTable."""
        self.has_changed = True
        super().add(name, value)


class FieldUnpacker(Decoder):
    """Takes the place of the decoder of an `H2Connection`."""

    def __init__(self, max_header_list_size: int) -> None:
        """max_header_list_size: see Decoder."""
        super().__init__(max_header_list_size)
        self.header_table: _Table = _Table()
        self._heads: dict[bytes, Iterable[HeaderTuple]] = {}
        """What came since the table has changed, and what it said."""

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        """See Decoder. Raises HPACKError."""
        read = self._heads.get(data) if raw else None
        if read is not None:
            return read
        table = self.header_table
        table.has_changed = bool(data) and data[0] in _SIZES
        read = super().decode(data, raw)
        if table.has_changed:
            self._heads.clear()
        elif raw and len(data) <= _KEPT_BYTES:
            if len(self._heads) >= _HEADS_KEPT:
                self._heads.clear()
            self._heads[data] = read
        return read
