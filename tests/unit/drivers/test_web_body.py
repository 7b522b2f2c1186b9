"""Bytes one buffer ahead of who reads them."""

import asyncio

import pytest

from littoral.drivers.web_body import IncomingBytes


def test_pieces_come_in_order_and_who_feeds_hears_of_each():
    taken: list[int] = []

    async def main() -> None:
        incoming = IncomingBytes(taken.append)
        incoming.feed(b"abc")
        incoming.feed(b"")
        assert incoming.held == 3
        assert await incoming.read() == b"abc"
        reading = asyncio.ensure_future(incoming.read())
        await asyncio.sleep(0)
        assert incoming.wanted
        incoming.feed(b"de")
        assert await reading == b"de"
        assert not incoming.wanted
        incoming.end()
        assert [await incoming.read(), await incoming.read()] == [b"", b""]
        assert taken == [3, 0, 2]

    asyncio.run(main())


def test_an_end_before_its_time_is_no_end():
    taken: list[int] = []

    async def main() -> None:
        incoming = IncomingBytes(taken.append)
        incoming.feed(b"abc")
        incoming.fail(ValueError("broken"))
        incoming.feed(b"more")
        incoming.end()
        with pytest.raises(ValueError, match="broken"):
            await incoming.read()
        assert (incoming.held, taken) == (0, [3])

    asyncio.run(main())


@pytest.mark.parametrize("is_read", [True, False])
def test_what_has_come_whole_stays_readable_until_it_is_dropped(*, is_read: bool):
    async def main() -> None:
        incoming = IncomingBytes(lambda size: None)
        incoming.feed(b"abc")
        incoming.end()
        incoming.fail(ValueError("the client has gone"))
        if is_read:
            assert await incoming.read() == b"abc"
        incoming.drop(ValueError("dropped"))
        if is_read:
            assert await incoming.read() == b""
        else:
            with pytest.raises(ValueError, match="dropped"):
                await incoming.read()

    asyncio.run(main())
