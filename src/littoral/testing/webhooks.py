"""Webhooks over the simulated network: a receiver is a handler that is served under the scheme and host of its URL."""

from urllib.parse import parse_qsl, unquote, urlsplit

from littoral.core.http import Headers, Request, Response
from littoral.core.webhooks import Admits
from littoral.testing.net import SimTransport


class SimWebhooks:
    """Implements `littoral.core.webhooks.Webhooks` for one node. Hosts have no addresses here, so nothing is asked of
    `admits`."""

    def __init__(self, transport: SimTransport) -> None:
        self._transport = transport

    def flaw(self, url: str) -> str:
        """See `Webhooks.flaw`."""
        return ""

    async def post(self, url: str, headers: Headers, body: bytes, admits: Admits, timeout_s: float) -> Response:
        """See `Webhooks.post`."""
        parts = urlsplit(url)
        fields = {name.lower(): value for name, value in headers}
        request = Request("POST", unquote(parts.path) or "/", dict(parse_qsl(parts.query)), fields, body)
        return await self._transport.request(f"{parts.scheme}://{parts.netloc}", request, timeout_s)
