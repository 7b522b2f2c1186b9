"""Who may see the page: cookies that prove that the operator's token was shown, and the names a browser may use.

A session holds no state here. Its cookie is an expiry and an HMAC over it, keyed with the operator's token: it survives
restarts of the dashboard, and ends with its expiry or with the token.
"""

import hashlib
import hmac
from collections.abc import Collection

from littoral.core.clock import Clock

SESSION_S = 12 * 3600
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Sessions:
    """Makes and checks session cookies."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def issue(self, token: str) -> str:
        """The value of a new session's cookie."""
        expires_s = self._clock.wall_ms() // 1000 + SESSION_S
        return f"{expires_s}.{_seal(token, expires_s)}"

    def is_valid(self, value: str, token: str) -> bool:
        """Whether a cookie is of a session that was issued for this token and goes on. In constant time."""
        expiry, _, seal = value.partition(".")
        if not (expiry.isascii() and expiry.isdecimal() and len(expiry) <= 16):
            return False
        genuine = hmac.compare_digest(seal.encode(), _seal(token, int(expiry)).encode())
        return genuine and int(expiry) > self._clock.wall_ms() // 1000


def is_token(shown: str, token: str) -> bool:
    """Whether what was shown is the operator's token. In constant time."""
    return hmac.compare_digest(shown.strip().encode(), token.encode())


def is_known_host(host: str, advertised: Collection[str]) -> bool:
    """Whether a Host header names this node. A page of another site that resolves its own name to this address (DNS
    rebinding) carries that name here."""
    name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
    name = name.lower().rstrip(".")
    return name in LOOPBACK_NAMES or name in {each.lower() for each in advertised}


def is_same_origin(origin: str | None, host: str) -> bool:
    """Whether the page that sends the request came from here. No Origin header: it is no page of another site."""
    return origin is None or origin.partition("://")[2].lower() == host.lower()


def _seal(token: str, expires_s: int) -> str:
    text = f"littoral dashboard session until {expires_s}"
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()
