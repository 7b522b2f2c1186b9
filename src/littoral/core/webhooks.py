"""How a node calls a URL that a client named. Real: `littoral.drivers.webhooks`; simulated: `littoral.testing.webhooks`."""

from collections.abc import Callable
from typing import Protocol

from littoral.core.errors import PeerUnreachable
from littoral.core.http import Headers, Response

Admits = Callable[[str], bool]
"""Whether an IP address may be connected to."""


class Webhooks(Protocol):
    """Posts to addresses outside the tree."""

    def flaw(self, url: str) -> str:
        """Why nothing can ever be posted to `url`, whatever listens there; empty for a URL that can be read."""
        ...

    async def post(self, url: str, headers: Headers, body: bytes, admits: Admits, timeout_s: float) -> Response:
        """Send `body` to `url` and read the answer. Redirects are not followed.

        admits: asked about the address that is then connected to, so that a name which means another address a moment
        later leads nowhere else.
        Raises: PeerUnreachable when no whole answer came, or no address of the host is admitted.
        """
        ...


class NoWebhooks:
    """Of a node that is not connected to anything."""

    def flaw(self, url: str) -> str:
        """See `Webhooks.flaw`."""
        return ""

    async def post(self, url: str, headers: Headers, body: bytes, admits: Admits, timeout_s: float) -> Response:
        """See `Webhooks.post`."""
        raise PeerUnreachable("reach", url, "this node sends no webhooks")
