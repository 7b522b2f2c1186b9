"""What the broker needs of whatever makes use of readings. `node` wires the two."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from littoral.core.order import Order

Fold = Callable[[bytes], None]
"""Takes one payload, which it may keep. Never raises for what a device sent."""


class Intake(Protocol):
    """Where readings go."""

    def route(self, topic: str) -> Fold | None:
        """The fold for QoS 0 readings of `topic`, or None if nothing wants them. The broker caches the answer per
        topic until `routes_changed` of the broker is called."""
        ...

    def store(self, records: Sequence[bytes], order: Order) -> "asyncio.Future[object]":
        """Append raw readings (msgpack [topic, payload, arrived_ms]); done once they are synced to disk. Nothing of an
        order is stored once something of it could not be."""
        ...
