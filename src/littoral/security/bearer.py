"""Bearer tokens in HTTP requests (RFC 6750)."""


def bearer(authorization: str | None) -> str:
    """The token of an `Authorization` header; an empty string if it carries none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
