"""Work that is given up when a signal says so."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from littoral.workers.abort import AbortSignal

T = TypeVar("T")


async def unless_aborted(signal: AbortSignal | None, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. Raises the signal's error once that is aborted, and `work` is given up."""
    if signal is None:
        return await work
    if signal.aborted:
        work.close()
        raise signal.error
    loop = asyncio.get_running_loop()
    aborted: asyncio.Future[None] = loop.create_future()

    def stop(event: object) -> None:
        if not aborted.done():
            aborted.set_result(None)

    signal.addEventListener("abort", stop)
    task = loop.create_task(work)
    try:
        either: list[asyncio.Future[Any]] = [task, aborted]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        signal.removeEventListener("abort", stop)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    if aborted.done() and task.cancelled():
        raise signal.error
    return task.result()
