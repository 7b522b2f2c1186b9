"""A session store that keeps nothing: sessions and retained messages end with the process."""

import asyncio
from collections.abc import Iterable, Sequence

from littoral.core.intake import Intake
from littoral.core.order import Order
from littoral.iot.session_store import Change, KeptSession, Late


class VolatileSessions:
    """Implements `littoral.iot.session_store.SessionStore`. Raw readings go to the intake all the same."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._session = 0
        self._message = 0

    def load(self) -> list[KeptSession]:
        """See SessionStore.load."""
        return []

    def load_retained(self) -> Iterable[tuple[str, bytes]]:
        """See SessionStore.load_retained."""
        return ()

    def next_session(self) -> int:
        """See SessionStore.next_session."""
        self._session += 1
        return self._session

    def next_message(self) -> int:
        """See SessionStore.next_message."""
        self._message += 1
        return self._message

    def write(self, changes: Sequence[Change], order: Order, records: Sequence[bytes] = ()) -> "asyncio.Future[object]":
        """See SessionStore.write."""
        if records:
            return self._intake.store(records, order)
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def later(self, changes: Sequence[Late]) -> None:
        """See SessionStore.later."""
