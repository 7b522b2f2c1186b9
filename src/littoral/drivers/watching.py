"""What is saved below a folder."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from watchfiles import Change, awatch

GATHER_MS = 50
"""An editor may write a file in several steps, and a formatter several files; longer than so much nobody waits for them."""
QUIET_MS = 10
"""What is followed by nothing for so long is told at once."""


async def saved(top: Path, counts: Callable[[str], bool]) -> AsyncIterator[list[str]]:
    """Yield the files that were written, made, moved or deleted, by their path from `top`; for ever.

    top: a folder, absolute and without links. counts: whether a path matters; a folder that does not is left out with all that is in it.
    """
    stop = asyncio.Event()

    def wanted(_: Change, path: str) -> bool:
        return counts(Path(path).relative_to(top).as_posix())

    try:
        async for changes in awatch(top, watch_filter=wanted, debounce=GATHER_MS, step=QUIET_MS, stop_event=stop):
            yield sorted({Path(path).relative_to(top).as_posix() for _, path in changes})
    finally:
        stop.set()
