"""How fast clients may connect and publish.

Each bound is a moment up to which all that came so far is paid for (the generic cell rate algorithm, ITU-T I.371): what comes moves
it on, time passes it by, and it may be a second ahead. So whoever was quiet has a second's worth at once, and there is one number
to keep, not a bucket to fill.
"""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Literal

from msgspec import Struct

from littoral.core.clock import Clock
from littoral.core.limits import Limits
from littoral.core.mqtt_limits import (
    MQTT_ADDRESS_CONNECTION_RATE,
    MQTT_CONNECT_S,
    MQTT_CONNECTION_RATE,
    MQTT_RATE_ADDRESSES,
)

BURST_S = 1.0
REST_LEAST_S = 0.1
"""Whoever is over its rate is not read for so long at least: one timer for many reads."""
_ROUNDING_S = 1e-6
"""Sums of parts of a second are a little more than a second."""
_HOST_BITS = 64
"""Of an IPv6 address: whoever has one has all of them."""


class Rates(Struct, frozen=True):
    """What becomes of what is over its rate."""

    connections: Literal["wait", "close"] = "wait"
    messages: Literal["delay", "disconnect"] = "delay"


class ConnectionRate:
    """New connections of one listener: of all, and of each address."""

    def __init__(self, limits: Limits, clock: Clock, rates: Rates) -> None:
        self._limits = limits
        self._clock = clock
        self._most_s: float = limits[MQTT_CONNECT_S] if rates.connections == "wait" else 0.0
        self._paid_s = 0.0
        self._addresses: OrderedDict[int, float] = OrderedDict()
        """Up to when each is paid for, in the order in which they came last."""

    def wait_s(self, address: str) -> float | None:
        """One more connection: how long it is not read, in s. None: it is over the rate, and so much that it would have to wait for
        longer than it may take to say CONNECT, or may not wait at all. What is refused for its address does not count for the
        others."""
        limits, now_s = self._limits, self._clock.monotonic_s()
        network = _network(address)
        own_s = max(self._addresses.get(network, 0.0), now_s) + 1 / limits[MQTT_ADDRESS_CONNECTION_RATE]
        paid_s = max(self._paid_s, now_s) + 1 / limits[MQTT_CONNECTION_RATE]
        longest_s = 0.0
        for until_s, limit in ((own_s, MQTT_ADDRESS_CONNECTION_RATE), (paid_s, MQTT_CONNECTION_RATE)):
            over_s = until_s - now_s - BURST_S
            if over_s > _ROUNDING_S:
                limits.hit(limit)
                if over_s > self._most_s + _ROUNDING_S:
                    return None
                longest_s = max(longest_s, over_s)
        self._paid_s = paid_s
        self._note(network, own_s, now_s)
        return longest_s

    def _note(self, network: int, own_s: float, now_s: float) -> None:
        addresses = self._addresses
        addresses[network] = own_s
        addresses.move_to_end(network)
        while len(addresses) > self._limits[MQTT_RATE_ADDRESSES]:
            _, until_s = addresses.popitem(last=False)
            if until_s > now_s:
                self._limits.hit(MQTT_RATE_ADDRESSES)


class MessageRate:
    """What one client publishes."""

    __slots__ = ("_clock", "_each_s", "_paid_s")

    def __init__(self, clock: Clock, per_second: int) -> None:
        self._clock = clock
        self._each_s = 1 / per_second
        self._paid_s = 0.0

    def rest_s(self, count: int) -> float:
        """So many messages have come in one read: how long no more is to be read, in s; 0 where they are within the rate."""
        now_s = self._clock.monotonic_s()
        self._paid_s = max(self._paid_s, now_s) + count * self._each_s
        over_s = self._paid_s - now_s - BURST_S
        return over_s + REST_LEAST_S if over_s > _ROUNDING_S else 0.0


def _network(address: str) -> int:
    """Whose connections are counted together. What is no address (a client in memory) counts as one."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return 0
    if not isinstance(found, IPv6Address):
        return int(found)
    if found.ipv4_mapped is not None:
        return int(found.ipv4_mapped)
    return int(found) >> _HOST_BITS << _HOST_BITS
