"""The head of a request in HTTP/1.1 (RFC 9112), read as the RFC writes it and in no other way.

Whoever stands before or behind us may read a head that is a little wrong differently, and take other bytes than we do for
the next request. So what the grammar does not allow is refused and never guessed at: no bare line feeds, no folded lines,
no space before a colon, one length of the body and one way to say it.
"""

import re
from http import HTTPStatus

REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])\r\n")
"""RFC 9112, section 3. A target has no "#", as a fragment is not sent (section 3.2), and nothing beyond ASCII."""

Field = tuple[str, str]

_VERSION = re.compile(rb"[^ ]+ [^ ]+ HTTP/(\d\.\d)\r\n")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"((?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\]))(?::(\d{0,5}))?")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)(.*)")
_ALLOWED = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_CODINGS = frozenset({"chunked", "compress", "deflate", "gzip", "x-compress", "x-gzip"})
_MEANT = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding"})
"""Fields that say something of the connection, of the body, or of who is asked."""
_LENGTH_DIGITS = 18
_SECRET = frozenset({"authorization", "cookie", "proxy-authorization"})
_FIELDS_KEPT = 4096
_KEPT_BYTES = 256
_fields: dict[str, Field] = {}
"""Lines that were fields, as they were sent: clients say the same again and again."""
METHODS = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT")
}
"""As text: most are one of these."""


class RefusedRequest(Exception):
    """What was sent is answered with this status, and the connection ends: where the next request begins is not known."""

    def __init__(self, status: int, cause: str) -> None:
        self.status = status
        self.cause = cause
        super().__init__(status, cause)


class TooManyFields(RefusedRequest):
    """More than are looked at."""


class FieldSection:
    """The fields of a head, and what they say of the connection and of the body."""

    __slots__ = ("body_length", "chunked", "close", "expects_continue", "fields", "has_body", "host", "keep_alive")

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        """Names in lower case, in their order."""
        self.host: str | None = None
        """In lower case; None where there is no such field, or an empty one."""
        self.body_length: int | None = None
        self.chunked = False
        self.has_body = False
        """Whether there may be one: a length above 0, or chunks."""
        self.close = False
        self.keep_alive = False
        """Whether HTTP/1.0 was asked to go on."""
        self.expects_continue = False


def read_fields(block: bytes, most: int) -> FieldSection:
    """block: lines, each with its end; most: how many. Raises RefusedRequest."""
    left_over = block.translate(None, _ALLOWED)
    count = len(left_over) // 2
    if block.count(b"\r\n") != count or len(left_over) % 2:
        raise RefusedRequest(400, "the head holds a control character, or a line that does not end in CRLF")
    if count > most:
        raise TooManyFields(431, f"it has more than {most} fields")
    known = _fields
    fields = [known.get(line) or _new_field(line) for line in block.decode("latin-1").split("\r\n")[:-1]]
    section = FieldSection(tuple(fields))
    _read_meaning(section, [field for field in fields if field[0] in _MEANT])
    return section


def _new_field(line: str) -> Field:
    name, colon, value = line.partition(":")
    if not colon or not _NAME.fullmatch(name):
        raise RefusedRequest(400, f"a line is no field: {line[:40]!r}")
    field = (name.lower(), value.strip(" \t"))
    if len(line) <= _KEPT_BYTES and field[0] not in _SECRET:
        if len(_fields) >= _FIELDS_KEPT:
            _fields.clear()
        _fields[line] = field
    return field


def _read_meaning(section: FieldSection, meant: list[Field]) -> None:
    hosts, lengths, codings = [], [], []
    for name, value in meant:
        if name == "host":
            hosts.append(value)
        elif name == "content-length":
            lengths.append(value)
        elif name == "transfer-encoding":
            codings.append(value)
        else:
            _read_wish(section, name, value)
    if len(hosts) > 1:
        raise RefusedRequest(400, "it has several Host fields")
    section.host = read_authority(hosts[0]) if hosts and hosts[0] else None
    if codings and lengths:
        raise RefusedRequest(400, "it has both Content-Length and Transfer-Encoding")
    if codings:
        _check_codings(codings)
        section.chunked = True
    elif lengths:
        section.body_length = read_length(lengths)
    section.has_body = section.chunked or bool(section.body_length)


def _read_wish(section: FieldSection, name: str, value: str) -> None:
    if name == "connection":
        tokens = [token.strip(" \t").lower() for token in value.split(",")]
        section.close |= "close" in tokens
        section.keep_alive |= "keep-alive" in tokens
    elif value.lower() == "100-continue":
        section.expects_continue = True
    else:
        raise RefusedRequest(417, "it expects what is not known here")


def read_length(lengths: list[str]) -> int:
    """Of the body (RFC 9110, section 8.6). Raises RefusedRequest, also where the same is said twice."""
    text = lengths[0]
    if len(lengths) > 1 or len(text) > _LENGTH_DIGITS or not (text.isascii() and text.isdecimal()):
        raise RefusedRequest(400, "its Content-Length is not one number")
    return int(text)


def _check_codings(fields: list[str]) -> None:
    """RFC 9112, sections 6.1 and 6.3: `chunked`, once and last, or the body's end is not known."""
    if len(fields) == 1 and fields[0].lower() == "chunked":
        return
    codings = [coding.strip(" \t").lower() for value in fields for coding in value.split(",")]
    is_framed = len(fields) == 1 and codings[-1] == "chunked" and codings.count("chunked") == 1
    is_unknown = all(_NAME.fullmatch(coding) for coding in codings) and not _CODINGS.issuperset(codings)
    if is_framed or is_unknown:
        raise RefusedRequest(501, "a transfer coding other than chunked is not read here")
    raise RefusedRequest(400, "its Transfer-Encoding does not end in chunked, or has it twice")


def read_authority(text: str) -> str:
    """A host and perhaps a port, in lower case. Raises RefusedRequest; also for a user's name before it."""
    match = _HOST.fullmatch(text)
    if match is None or int(match[2] or 0) > 65_535:
        raise RefusedRequest(400, "its host is none")
    return (text if match[2] else match[1]).lower()


def refused_line(line: bytes) -> RefusedRequest:
    """Why the bytes up to the first line's end are no request line."""
    match = _VERSION.fullmatch(line)
    if match and match[1] not in {b"1.0", b"1.1"}:
        return RefusedRequest(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, f"HTTP/{match[1].decode()} is not spoken here")
    return RefusedRequest(400, "its first line is no request line")


def read_target(method: str, target: str, scheme: str, section: FieldSection) -> tuple[str, str, tuple[Field, ...]]:
    """The path and query that are meant, the host, and the fields with that host (RFC 9112, section 3.2).

    target: not in origin form. scheme: of the connection. Raises RefusedRequest.
    """
    if method == "CONNECT":
        raise RefusedRequest(405, "CONNECT is not done here")
    if target == "*":
        if method != "OPTIONS":
            raise RefusedRequest(400, "the target * is for OPTIONS only")
        return target, section.host or "", section.fields
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise RefusedRequest(400, "its target is neither a path nor a URL")
    if match[1].lower() not in {"http", "https"}:
        raise RefusedRequest(400, "its target is no URL of HTTP")
    if match[1].lower() != scheme:
        raise RefusedRequest(HTTPStatus.MISDIRECTED_REQUEST, f"what is asked on this connection is {scheme}")
    host = read_authority(match[2])
    path = match[3]
    if not path:
        path = "*" if method == "OPTIONS" else "/"
    elif path[0] == "?":
        path = f"/{path}"
    # The target's host wins, and nobody behind is to see another (section 3.2.2).
    others = [field for field in section.fields if field[0] != "host"]
    return path, host, (("host", host), *others)


_FLAW = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n|\Z)")


def flaw_in_part(part: bytes, seen: int) -> bool:
    """Whether a head that is still arriving can become none any more; seen: how much of it was looked at before."""
    return _FLAW.search(part, max(0, seen - 1)) is not None
