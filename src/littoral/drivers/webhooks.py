"""Posts to URLs that clients named, through pyreqwest. Implements `littoral.core.webhooks.Webhooks`.

A host's addresses are looked up here, shown to whoever decides, and the connection is pinned to one that was admitted:
what the name means a moment later makes no difference. Redirects are not followed, no proxy is used, and nothing of this
node's identity is shown.
"""

import asyncio
import logging
from collections import OrderedDict
from urllib.parse import urlsplit

from pyreqwest.http import Url

from littoral.core.errors import PeerUnreachable
from littoral.core.http import Headers, Response
from littoral.core.limits import WEBHOOK_ANSWER_BYTES, Limits
from littoral.core.webhooks import Admits
from littoral.drivers.name_lookups import NameLookups
from littoral.drivers.transport import HttpTransport, Pin

CLIENTS_KEPT = 64
"""Receivers whose connections are kept open between webhooks."""
_PORTS = {"http": 80, "https": 443}

_log = logging.getLogger("littoral.http")


class HttpWebhooks:
    """The real ones."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lookups = NameLookups()
        self._clients: OrderedDict[Pin, HttpTransport] = OrderedDict()

    def flaw(self, url: str) -> str:
        """See `Webhooks.flaw`."""
        try:
            Url(url)
        except ValueError as error:
            return str(error)
        return ""

    async def post(self, url: str, headers: Headers, body: bytes, admits: Admits, timeout_s: float) -> Response:
        """See `Webhooks.post`."""
        try:
            async with asyncio.timeout(timeout_s):
                pin = await self._admitted(url, admits)
                return await self._client(pin).post(url, headers, body, timeout_s)
        except TimeoutError as error:
            raise PeerUnreachable("reach", url, f"timed out (no answer within {timeout_s:g} s)") from error

    async def _admitted(self, url: str, admits: Admits) -> Pin:
        """Where to connect to. Raises PeerUnreachable."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        try:
            addresses = await self._lookups.addresses(host)
        except TimeoutError as error:
            cause = "the host name cannot be resolved (no name server answers for it)"
            raise PeerUnreachable("reach", url, cause) from error
        except (OSError, ValueError) as error:
            raise PeerUnreachable("reach", url, f"the host name cannot be resolved ({error})") from error
        for address in addresses:
            if admits(address):
                return Pin(host, address, port)
        # Clients read why a webhook failed; what names of this network mean is for who reads the log.
        _log.warning("no webhook is sent to %s: %s is %s", url, host, ", ".join(dict.fromkeys(addresses)))
        raise PeerUnreachable(
            "reach",
            url,
            f"{host} is not a public address",
            "spec.streams.webhooks.allow says what is allowed besides public addresses",
        )

    def _client(self, pin: Pin) -> HttpTransport:
        client = self._clients.pop(pin, None)
        if client is None:
            client = HttpTransport(limits=self._limits, answer_limit=WEBHOOK_ANSWER_BYTES, pinned=pin)
        self._clients[pin] = client
        if len(self._clients) > CLIENTS_KEPT:
            self._clients.popitem(last=False)
        return client
