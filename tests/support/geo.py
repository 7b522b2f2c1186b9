"""Tiny databases in MaxMind's format, version 2.0 (https://maxmind.github.io/MaxMind-DB/): IPv4, records of 24 bits."""

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_SEPARATOR = bytes(16)
_UINT16, _UINT32, _UINT64 = 5, 6, 9


@dataclass(frozen=True)
class _Number:
    """One of a certain type, which metadata have."""

    kind: int
    number: int


def write_database(path: Path, places: Mapping[str, Any], kind: str = "Test-City") -> Path:
    """places: by network, as in "203.0.113.0/24"; no two of them overlap. A file that is there is replaced by another one."""
    nodes: list[list[Any]] = [[None, None]]
    for network, place in places.items():
        _insert(nodes, ipaddress.IPv4Network(network), place)
    data = b""
    tree = b""
    for node in nodes:
        for record in node:
            number = len(nodes) if record is None else record
            if isinstance(record, dict):
                number = len(nodes) + len(_SEPARATOR) + len(data)
                data += _encoded(record)
            tree += number.to_bytes(3, "big")
    about = {
        "binary_format_major_version": _Number(_UINT16, 2),
        "binary_format_minor_version": _Number(_UINT16, 0),
        "build_epoch": _Number(_UINT64, 1_700_000_000),
        "database_type": kind,
        "description": {"en": "for tests"},
        "ip_version": _Number(_UINT16, 4),
        "languages": ["en"],
        "node_count": len(nodes),
        "record_size": _Number(_UINT16, 24),
    }
    temporary = path.with_suffix(".new")
    temporary.write_bytes(tree + _SEPARATOR + data + _MARKER + _encoded(about))
    return temporary.replace(path)


def _insert(nodes: list[list[Any]], network: ipaddress.IPv4Network, place: Any) -> None:
    at, bits = 0, int(network.network_address)
    for depth in range(network.prefixlen):
        side = bits >> (31 - depth) & 1
        if depth == network.prefixlen - 1:
            nodes[at][side] = place
        elif nodes[at][side] is None:
            nodes.append([None, None])
            nodes[at][side] = len(nodes) - 1
        at = nodes[at][side] if isinstance(nodes[at][side], int) else at


def _encoded(value: Any) -> bytes:
    match value:
        case bool():
            return _head(14, int(value))
        case str():
            raw = value.encode()
            return _head(2, len(raw)) + raw
        case float():
            return _head(3, 8) + struct.pack(">d", value)
        case int():
            return _encoded(_Number(_UINT32, value))
        case _Number(kind, number):
            raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
            return _head(kind, len(raw)) + raw
        case dict():
            return _head(7, len(value)) + b"".join(_encoded(key) + _encoded(each) for key, each in value.items())
        case list():
            return _head(11, len(value)) + b"".join(map(_encoded, value))
        case _:
            raise TypeError(value)


def _head(kind: int, size: int) -> bytes:
    """Types beyond 7 take a second byte, sizes from 29 on another one."""
    first, rest = (size, b"") if size < 29 else (29, bytes([size - 29]))
    return bytes([first, kind - 7]) + rest if kind > 7 else bytes([kind << 5 | first]) + rest
