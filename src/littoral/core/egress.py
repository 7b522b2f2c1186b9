"""Where the requests of an app may go: what `spec.egress` of it says, and what kind of address a server has.

api.example.com       this name
*.example.com         every name below it
*                     every name
10.1.2.3, fd00::1     this address
10.1.0.0/16           these addresses
...:8443              of any of them, this port only; [fd00::1]:8443 where the address has colons
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from msgspec import Struct

Address = IPv4Address | IPv6Address

_ENTRY = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+))(?::([0-9]{1,5}))?")
_WHO = re.compile(r"//[^/\\]*@")
_NAME = re.compile(r"\*|(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_KINDS = tuple(
    (ip_network(network), kind)
    for kind, networks in {
        "a loopback address": ("127.0.0.0/8", "::1/128"),
        "a private address": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
        "a link-local address, where clouds serve their metadata": (
            "169.254.0.0/16",
            "fe80::/10",
            # Azure's, which is not link-local, but as if it were.
            "168.63.129.16/32",
        ),
        "an address of its provider's network": ("100.64.0.0/10",),
        "a multicast address": ("224.0.0.0/4", "ff00::/8"),
        "an address of this machine or network": ("0.0.0.0/8", "::/128"),
        "a reserved address": (
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
            "5f00::/16",
        ),
    }.items()
    for network in networks
)
"""What is not of the public internet (the registries of RFC 6890)."""
_PUBLIC_IPV6 = ip_network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


class EgressRule(Struct, frozen=True):
    """One entry."""

    name: str = ""
    """In lower case; "*" for all, "*.suffix" for all below one. Empty for networks."""
    network: str = ""
    port: int = 0
    """0 for all."""

    @classmethod
    def parse(cls, entry: str) -> "EgressRule":
        """Raises ValueError, which says what is wrong with it."""
        # An address with colons has a port only if it is in brackets.
        match = _ENTRY.fullmatch(f"[{entry}]" if entry.count(":") > 1 and "[" not in entry else entry)
        port = int(match[3] or 0) if match is not None else -1
        if match is None or not 0 <= port <= 65_535 or (match[3] and not port):
            raise ValueError(f'found "{entry[:80]}"; expected a host, an address or a network, and a port if need be')
        where = match[1] or match[2]
        if ":" in where or where.replace(".", "").replace("/", "").isdecimal():
            try:
                return cls("", str(ip_network(where)), port)
            except ValueError:
                raise ValueError(f'found "{entry[:80]}"; expected an address or a network, like 10.1.0.0/16') from None
        if not _NAME.fullmatch(where.lower()):
            raise ValueError(f'found "{entry[:80]}"; a "*" stands for all names, or is followed by "." and a name')
        return cls(where.lower(), "", port)

    def names(self, host: str, port: int) -> bool:
        """Whether it lets a name be asked. host: in lower case."""
        if not self.name or self.port not in (0, port):
            return False
        return self.name in ("*", host) or (self.name.startswith("*.") and host.endswith(self.name[1:]))

    def holds(self, address: Address, port: int) -> bool:
        """Whether it lets an address be connected to."""
        return bool(self.network) and self.port in (0, port) and address in _network(self.network)


@lru_cache(maxsize=1024)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)


def shown_url(url: str) -> str:
    """A URL as it may stand in errors and logs: without what most often is a secret in it, its query and who asks."""
    return _WHO.sub("//", re.split(r"[?#]", url, maxsplit=1)[0], count=1)[:500]


def address_of(text: str) -> Address | None:
    """An address as the network sees it: one of IPv4 that is written as one of IPv6 is the former. None for a name."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


@lru_cache(maxsize=4096)
def kind_of(address: Address) -> str:
    """What kind of address it is, in words; "" for one of the public internet. One that carries another (6to4, NAT64, Teredo) is
    of the kind of that where it is not public."""
    if isinstance(address, IPv6Address):
        teredo = address.teredo
        carried = address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
        if address in _NAT64:
            carried = IPv4Address(int(address) & 0xFFFFFFFF)
        if carried is not None:
            return kind_of(carried)
    for network, kind in _KINDS:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return "a reserved address"
    return ""
