"""The pieces of a streaming response."""

from collections.abc import AsyncGenerator, AsyncIterator


async def close_pieces(pieces: AsyncIterator[bytes]) -> None:
    """Run the iterator's own cleaning up: it may hold a waiter or a reader's place."""
    if isinstance(pieces, AsyncGenerator):
        await pieces.aclose()
