"""The head of a request in HTTP/2 (RFC 9113, section 8), once it is unpacked: what it must not hold, since it is passed on in
HTTP/1, where the same bytes would mean something else."""

import re
from http import HTTPStatus

from msgspec import Struct

from littoral.wire.request_head import Field, RefusedRequest, TooManyFields, read_authority, read_length

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
"""Without white space around it (section 8.2.1)."""
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_PATH = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
_OF_A_CONNECTION = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})


class Http2Head(Struct, frozen=True):
    """What is asked."""

    method: str
    target: str
    host: str
    fields: tuple[Field, ...]
    """With `host`, as they would be in HTTP/1."""
    body_length: int | None
    expects_continue: bool
    protocol: str
    """What an extended CONNECT asks for (RFC 8441); empty for all others."""


def read_http2_head(lines: list[tuple[bytes, bytes]], scheme: str, most: int, most_target: int) -> Http2Head:
    """scheme: of the connection. most: how many fields. Raises RefusedRequest."""
    if len(lines) > most + len(_PSEUDO):
        raise TooManyFields(431, f"it has more than {most} fields")
    pseudo: dict[bytes, bytes] = {}
    fields: list[Field] = []
    for name, value in lines:
        if name[:1] == b":":
            if fields or name in pseudo or name not in _PSEUDO:
                raise RefusedRequest(400, f"{name[:40]!r} is not said here")
            pseudo[name] = value
        else:
            fields.append(_read_field(name, value))
    method = pseudo.get(b":method", b"")
    if not _METHOD.fullmatch(method):
        raise RefusedRequest(400, "its method is none")
    protocol = pseudo.get(b":protocol")
    if (method == b"CONNECT") != (protocol is not None):
        raise RefusedRequest(405 if protocol is None else 400, "CONNECT is done for another protocol only")
    if pseudo.get(b":scheme", b"") not in {b"http", b"https"}:
        raise RefusedRequest(400, "its scheme is none of HTTP")
    if pseudo[b":scheme"] != scheme.encode():
        raise RefusedRequest(HTTPStatus.MISDIRECTED_REQUEST, f"what is asked on this connection is {scheme}")
    host = _read_host(pseudo.get(b":authority"), fields)
    lengths = [value for name, value in fields if name == "content-length"]
    return Http2Head(
        method.decode(),
        _read_path(method, pseudo.get(b":path", b""), most_target),
        host,
        (("host", host), *[field for field in fields if field[0] != "host"]),
        read_length(lengths) if lengths else None,
        _expects_continue(fields),
        (protocol or b"").decode("latin-1"),
    )


def _read_field(name: bytes, value: bytes) -> Field:
    if not _NAME.fullmatch(name):
        raise RefusedRequest(400, f"{name[:40]!r} is no name of a field")
    if not _VALUE.fullmatch(value):
        raise RefusedRequest(400, f"the field {name.decode()[:40]} holds what none may hold")
    if name in _OF_A_CONNECTION or (name == b"te" and value != b"trailers"):
        raise RefusedRequest(400, f"the field {name.decode()} is for HTTP/1 only")
    return name.decode(), value.decode("latin-1")


def _read_host(authority: bytes | None, fields: list[Field]) -> str:
    hosts = [value for name, value in fields if name == "host"]
    if len(hosts) > 1:
        raise RefusedRequest(400, "it has several Host fields")
    if authority is None and not hosts:
        raise RefusedRequest(400, "it has no authority")
    host = read_authority(hosts[0] if authority is None else authority.decode("latin-1"))
    if hosts and read_authority(hosts[0]) != host:
        raise RefusedRequest(400, "its authority and its Host differ")
    return host


def _read_path(method: bytes, path: bytes, most: int) -> str:
    if len(path) > most:
        raise RefusedRequest(414, f"its target is longer than {most} bytes")
    if not (_PATH.fullmatch(path) or (path == b"*" and method == b"OPTIONS")):
        raise RefusedRequest(400, "its path is none")
    return path.decode("ascii")


def _expects_continue(fields: list[Field]) -> bool:
    expected = {value.lower() for name, value in fields if name == "expect"}
    if expected - {"100-continue"}:
        raise RefusedRequest(417, "it expects what is not known here")
    return bool(expected)
