"""What a bridge needs around it: something that carries bytes to the other broker, and somebody who made it."""

from collections.abc import Mapping
from typing import Protocol

from littoral.core.errors import LittoralError


class Way(Protocol):
    """What carries bytes to the other broker. Real: `littoral.drivers.mqtt_client`."""

    def write(self, data: bytes) -> None:
        """Send."""
        ...

    def pause(self) -> None:
        """Read no more until `resume`."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...

    def close(self) -> None:
        """Close, once what was written is sent."""
        ...


class BridgeHost(Protocol):
    """Who made the bridge."""

    def remember(self, filters: frozenset[str], subscribed: Mapping[str, int]) -> None:
        """The other broker has a session for the bridge from now on, and may have subscriptions of these; subscribed: see BridgeTerms.
        To be kept on disk before this returns. Raises StorageError."""
        ...

    def opened(self, error: LittoralError | None) -> None:
        """Messages go over; error: what of it the other broker does not allow."""
        ...

    def closed(self, error: LittoralError | None) -> None:
        """It is over; None where that was meant to be, and the next connection may follow at once."""
        ...
