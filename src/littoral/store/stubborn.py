"""Commits that must happen: what is already folded in memory has to reach the disk, however long it refuses."""

import asyncio
from collections.abc import Callable

from littoral.core.errors import LittoralError
from littoral.store.store import Store
from littoral.store.transaction import Transaction

RETRY_S = 1.0


async def commit_stubbornly(store: Store, effect: Callable[[Transaction], None], note: Callable[[str], None]) -> None:
    """Submit `effect` until it is committed: nothing of a failed try happened, so it can be made again.

    note: told why a try failed, each time one does, and "" at the end. When cancelled, it first waits for the try that
    is under way: whoever goes on after it must see what that did.
    """
    while True:
        try:
            await _finished(store.submit(effect))
        except LittoralError as error:
            note(str(error))
            await asyncio.sleep(RETRY_S)
        else:
            note("")
            return


async def _finished(future: "asyncio.Future[None]") -> None:
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
