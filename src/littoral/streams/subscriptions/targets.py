"""Which URLs a webhook may be sent to, and which addresses it may then be sent to.

Unless the node's document allows more, a webhook goes by https to a public address. Nobody who may create a
subscription can reach through a node what only the node can reach: its own machine, its network, the metadata service of
its cloud. The URL is looked at when the subscription is made; the address when it is connected to, every time, for a name
may mean another one by then.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, urlsplit

from littoral.core.resources.model import WEBHOOK_TARGET
from littoral.core.webhooks import Admits
from littoral.wire.subscriptions import URL_CHARACTERS, Refused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_ALLOWED = re.compile(WEBHOOK_TARGET)
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
"""What makes a name an IPv4 address in one of its odd forms to those who read URLs by the WHATWG's standard."""
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_LOCAL = ("localhost", "local", "internal", "home.arpa")
"""Names that mean something on this machine or its network only (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal)."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class WebhookTargets:
    """The rules of one node."""

    def __init__(self, allow: Sequence[str], flaw: Callable[[str], str] = lambda url: "") -> None:
        """allow: as `core.resources.model.Webhooks` has it, checked. flaw: as `Webhooks.flaw`; whoever posts reads URLs
        by rules of its own."""
        self._allow = [_Allowed(text) for text in allow]
        self._flaw = flaw

    def check(self, url: str) -> None:
        """Raise Refused (WEBHOOK_URL_REJECTED) for a URL that no webhook may be sent to."""
        parts, host, port = _taken_apart(url)
        if flaw := self._flaw(url):
            raise _rejected(url, flaw)
        if any(each.matches(parts.scheme, host, port) for each in self._allow):
            return
        if parts.scheme != "https":
            raise _rejected(url, "it is not https")
        address = _address(host)
        if address is None:
            name = host.rstrip(".").lower()
            if "." not in name or any(name == local or name.endswith(f".{local}") for local in _LOCAL):
                raise _rejected(url, f"{host} is a name of this machine or its network")
        elif not is_public(address):
            raise _rejected(url, f"{host} is not a public address")

    def admits(self, url: str) -> Admits:
        """Which addresses the URL's host may have. Raises Refused."""
        self.check(url)
        parts, host, port = _taken_apart(url)
        allowed = any(each.matches(parts.scheme, host, port) for each in self._allow)
        if allowed and _address(host) is not None:
            return lambda text: _address(text) == _address(host)
        return _is_public_text if not allowed else _is_unicast


class _Allowed:
    """An entry of the document."""

    def __init__(self, text: str) -> None:
        match = _ALLOWED.fullmatch(text)
        assert match is not None, text
        self._scheme, host, port = match.groups()
        host = host.lower()
        self._suffix = host[1:] if host.startswith("*.") else None
        self._host = host.strip("[]")
        self._address = _address(self._host)
        self._port = None if port == "*" else int(port) if port else _PORTS[self._scheme]

    def matches(self, scheme: str, host: str, port: int) -> bool:
        if scheme != self._scheme or self._port not in (None, port):
            return False
        name = host.rstrip(".").lower()
        if self._suffix is not None:
            return name.endswith(self._suffix) and len(name) > len(self._suffix)
        if self._address is not None:
            return _address(host) == self._address
        return name == self._host


def _taken_apart(url: str) -> tuple[SplitResult, str, int]:
    if len(url) > URL_CHARACTERS or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise _rejected(url, f"a URL is at most {URL_CHARACTERS} printable ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _rejected(url, str(error)) from error
    if parts.scheme not in _PORTS:
        raise _rejected(url, "it is neither https nor http")
    if "@" in parts.netloc or "#" in url:
        raise _rejected(url, "it has a user or a fragment")
    if _address(host) is None and (not _HOST.fullmatch(host) or _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2])):
        raise _rejected(url, "it names no host")
    if port == 0:
        raise _rejected(url, "there is no port 0")
    return parts, host, port if port is not None else _PORTS[parts.scheme]


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether an address is one that everybody reaches alike. Of one that carries another within, both have to be."""
    inner: Address | None = None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(address.packed[-4:]))
        teredo = address.teredo
        inner = address.sixtofour or (teredo[1] if teredo else None)
        if address.is_site_local or getattr(address, "scope_id", None):
            return False
    if inner is not None and not is_public(inner):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _is_public_text(text: str) -> bool:
    address = _address(text)
    return address is not None and is_public(address)


def _is_unicast(text: str) -> bool:
    """For a name that the document allows: wherever it is, but for link-local addresses, where clouds keep what a machine
    may know of itself."""
    address = _address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and not (address.is_link_local or address.is_multicast or address.is_unspecified)


def _rejected(url: str, cause: str) -> Refused:
    remedy = "The node's spec.streams.webhooks.allow says what is allowed besides https to public addresses"
    return Refused("WEBHOOK_URL_REJECTED", f"no webhook may be sent to {url[:200]!r}: {cause}. {remedy}")
