"""What a request that may have changed something makes invalid (RFC 9111, section 4.4)."""

from urllib.parse import SplitResult, urljoin, urlsplit

from littoral.wire.caching.fields import VALUE_CHARACTERS, Fields, combined

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"})
"""Methods that change nothing: RFC 9110, section 9.2.1, and IANA's registry."""

_PORTS = {"http": 80, "https": 443}


def invalidated(method: str, status: int, origin: str, target: str, fields: Fields) -> tuple[str, ...]:
    """The targets (path and query) whose stored responses, all variants, are to be invalidated after a response: all of the
    same origin as the request's own, which comes first. origin: of the request, as "https://example.com:8443". Empty for safe
    methods, and for errors."""
    if method in SAFE or not 200 <= status < 400:
        return ()
    targets = [target]
    for name in ("location", "content-location"):
        value = combined(fields, name)
        if value is None or len(value) > VALUE_CHARACTERS:
            continue
        try:
            other = urlsplit(urljoin(origin + target, value))
            # Another origin's: it could make a cache forget what is not its own.
            if _origin(other) == _origin(urlsplit(origin)):
                targets.append(_target(other))
        except ValueError:
            continue
    return tuple(dict.fromkeys(targets))


def _target(uri: SplitResult) -> str:
    path = uri.path or "/"
    return f"{path}?{uri.query}" if uri.query else path


def _origin(uri: SplitResult) -> tuple[str, str | None, int | None]:
    """RFC 9110, section 4.3.1."""
    return uri.scheme, uri.hostname, uri.port if uri.port is not None else _PORTS.get(uri.scheme)
