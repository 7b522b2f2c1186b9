"""HTTP fields on their way through the gateway."""

import re

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Meant for one connection only (RFC 9110, section 7.6.1)."""

_SAFE_PATH = re.compile(r"[A-Za-z0-9/._~!$&'()*+,;=:@-]*")
_UNSAFE_BYTE = re.compile(rb"[^A-Za-z0-9/._~!$&'()*+,;=:@-]")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-zA-Z-]+")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def request_fields(items: list[tuple[str, str]], client: str, request_id: str) -> list[tuple[str, str]]:
    """The fields an app sees: without those of the connection, with the client's address and the request's id."""
    dropped = HOP_BY_HOP
    forwarded = client
    for name, value in items:
        if name == "connection":
            dropped = dropped | {part.strip().lower() for part in value.split(",")}
        elif name == "x-forwarded-for":
            forwarded = f"{value}, {client}"
    kept = [item for item in items if item[0] not in dropped and item[0] not in ("x-forwarded-for", "x-request-id")]
    kept.append(("x-forwarded-for", forwarded))
    kept.append(("x-request-id", request_id))
    return kept


def response_fields(items: list[tuple[str, str]], request_id: str) -> list[tuple[str, str]] | None:
    """The fields a client sees; None if the app made one that HTTP does not allow.

    A worker is not trusted to have checked: a line break in a value would let it write a response of its own.
    """
    kept = []
    for name, value in items:
        lower = name.lower()
        if not _NAME.fullmatch(name) or _BAD_VALUE.search(value):
            return None
        if lower not in HOP_BY_HOP and lower not in {"content-length", "x-request-id"}:
            kept.append((lower, value))
    kept.append(("x-request-id", request_id))
    return kept


def encoded_path(path: str) -> str:
    """A decoded path, percent-encoded again for a URL."""
    if _SAFE_PATH.fullmatch(path):
        return path
    return _UNSAFE_BYTE.sub(lambda match: b"%%%02X" % match[0][0], path.encode("utf-8", "surrogateescape")).decode()
