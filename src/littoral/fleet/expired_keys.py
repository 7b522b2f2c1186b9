"""Making tombstones of keys that have expired: no reader finds them any more, and their values take room."""

import asyncio
from collections.abc import Callable

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError
from littoral.store.store import Store

EVERY_S = 60.0
KEYS_AT_ONCE = 256
"""In one transaction: well below a sync's time."""


class ExpiredKeys:
    """Sweeps one store."""

    def __init__(self, store: Store, clock: Clock, warn: Callable[[str], None]) -> None:
        """warn: told in words when the disk refuses; it is tried again."""
        self._store = store
        self._clock = clock
        self._warn = warn
        self.swept = 0

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self._sweep()
            except LittoralError as error:
                self._warn(str(error))

    async def _sweep(self) -> None:
        while self._store.kv_has_expired(self._clock.wall_ms()):
            count = await self._store.submit(lambda tx: tx.kv_expire(KEYS_AT_ONCE))
            self.swept += count
            if count < KEYS_AT_ONCE:
                # All that there was; or the clock was set back in between, and it is looked at again later.
                return
