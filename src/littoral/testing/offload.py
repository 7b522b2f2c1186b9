"""Work that has a thread of its own in a real node is done at once here, in virtual time."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def at_once(work: Callable[[], T], /) -> T:
    """Implements `littoral.core.offload.Offload`. Others have their turn before."""
    await asyncio.sleep(0)
    return work()
