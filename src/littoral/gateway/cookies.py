"""Cookies of a request (RFC 6265, section 4.2): of several with one name the first counts, as most servers take it."""

from littoral.gateway.field_block import Fields


def cookies_of(fields: Fields) -> dict[str, str]:
    """All of them, by name."""
    cookies: dict[str, str] = {}
    for name, value in fields:
        if name == "cookie":
            for pair in value.split(";"):
                cookie, _, content = pair.strip().partition("=")
                cookies.setdefault(cookie, content)
    return cookies


def without_cookie(fields: Fields, wanted: str) -> list[tuple[str, str]]:
    """The fields without a cookie, wherever it stands among the others."""
    kept = []
    for field in fields:
        name, value = field
        if name == "cookie" and wanted in value:
            pairs = [pair for each in value.split(";") if (pair := each.strip()).partition("=")[0] != wanted]
            if pairs:
                kept.append((name, "; ".join(pairs)))
        else:
            kept.append(field)
    return kept
