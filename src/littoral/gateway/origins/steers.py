"""What of a request says which target it is for: the cookie that its client was given, and what it is hashed by.

    the client brings no mark, or one of nobody    the pool chooses; the answer sets the cookie
    it brings the mark of a target                 that one, if it can be used; else as above

The cookie is the gateway's own: it is taken off what the origin is sent, and is set on answers to one client only.
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from littoral.gateway.cookies import cookies_of, without_cookie
from littoral.gateway.exchange import Exchange
from littoral.gateway.field_block import Fields
from littoral.gateway.origins.transport import OriginRequest, Steering

_PRIVATE = ("cache-control", "private")
"""Who caches for many between here and the client is not to give the mark to all of them."""


class MarkCookie(Struct, frozen=True):
    """The cookie that brings a client back to its target."""

    name: str
    max_age_s: int | None = None
    same_site: Literal["strict", "lax", "none"] = "lax"
    secure: bool | None = None
    """None: where the client came over TLS, and where browsers want it."""

    def setting(self, mark: str, *, over_tls: bool) -> Fields:
        """What the client is told (RFC 6265, section 4.1)."""
        parts = [f"{self.name}={mark}", "Path=/", "HttpOnly", f"SameSite={self.same_site.capitalize()}"]
        if self.secure or (self.secure is None and (over_tls or self.same_site == "none")):
            parts.append("Secure")
        if self.max_age_s is not None:
            parts.append(f"Max-Age={self.max_age_s}")
        return (("set-cookie", "; ".join(parts)), _PRIVATE)


class HashSource(Struct, frozen=True):
    """What requests are hashed by in place of the cache key."""

    kind: Literal["header", "cookie", "client"]
    name: str = ""
    """Of the header, in lower case, or of the cookie."""

    def key(self, exchange: Exchange) -> str:
        """Empty where a request does not have it."""
        if self.kind == "client":
            return exchange.client
        if self.kind == "cookie":
            return cookies_of(exchange.fields).get(self.name, "")
        return ", ".join(value for name, value in exchange.fields if name == self.name)


class Steers(Struct, frozen=True):
    """Those of one origin."""

    cookie: MarkCookie | None = None
    hash_by: HashSource | None = None

    def steered(self, request: OriginRequest, exchange: Exchange) -> OriginRequest:
        """The request with what says where it goes, and without what only that is for."""
        mark, fields = "", request.fields
        if self.cookie is not None:
            mark = cookies_of(fields).get(self.cookie.name, "")
            fields = without_cookie(fields, self.cookie.name)
        hash_key = self.hash_by.key(exchange) if self.hash_by is not None else ""
        steering = Steering(mark, hash_key, exchange.scheme == "https")
        return replace(request, fields=fields, steering=steering)

    def told(self, steering: Steering, mark: str) -> Fields:
        """What the client is told by whom it was answered, unless it knows. mark: of who it was."""
        if self.cookie is None or mark == steering.mark:
            return ()
        return self.cookie.setting(mark, over_tls=steering.over_tls)
