"""The page of one stream, asked of a hub that answers late."""

import asyncio
from collections.abc import Awaitable, Callable

from nicegui import Client, ui

from littoral.core.http import Request, Response
from littoral.core.names import StreamName
from littoral.dashboard.hub_api import HubApi
from littoral.dashboard.picture import Picture
from littoral.dashboard.shell import Shell
from littoral.dashboard.stream_page import RECORDS, StreamPage
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from tests.support.direct import Direct
from tests.support.stores import append

NOTES = StreamName("cloud", "notes")


class Late(Direct):
    """Answers what is asked of older records when it is let."""

    def __init__(self, node: SimNode) -> None:
        super().__init__(node)
        self.lets = asyncio.Event()
        self.lets.set()

    async def request(self, base_url: str, request: Request, timeout_s: float) -> Response:
        answer = await super().request(base_url, request, timeout_s)
        if "before" in request.query:
            await self.lets.wait()
        return answer


class Browser:
    """What it shows of the stream, and clicks."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        self.hub = Late(node)
        self.client = Client(ui.page("/"))
        with self.client:
            shell = Shell(Picture("cloud"), node.clock, lambda: None, "/streams")
            api = HubApi(self.hub, "http://cloud", lambda: node.running.operator_token)
            self.page = StreamPage(shell, api, str(NOTES))

    async def second(self) -> None:
        """Time to ask again."""
        with self.client:
            await self.page._refresh()

    def older(self) -> Awaitable[None]:
        """A click on the button."""

        async def click() -> None:
            with self.client:
                await self.page._show_older()

        return asyncio.ensure_future(click())

    def offsets(self) -> list[int]:
        """Those of the records on the page, the latest first."""
        elements = self.client.elements.values()
        return [
            int(item.props["data-offset"])
            for each in elements
            if "lt-records" in each.classes
            for item in each.default_slot.children
        ]

    @property
    def has_older(self) -> bool:
        (button,) = [each for each in self.client.elements.values() if getattr(each, "text", "") == "Older records"]
        return button.visible


def play(story: Callable[[Browser], Awaitable[None]], seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        await add(root, 100)
        browser = Browser(root)
        await browser.second()
        await story(browser)
        await tree.stop()

    run(main, seed=seed)


async def add(node: SimNode, count: int) -> None:
    await node.running.store.submit(append(NOTES, *[b"note"] * count))


def test_older_records_are_shown_once_however_quickly_they_are_asked_for(seed: int) -> None:
    async def story(browser: Browser) -> None:
        assert browser.offsets() == [*range(99, 99 - RECORDS, -1)]
        browser.hub.lets.clear()
        clicks = [browser.older(), browser.older()]
        await asyncio.sleep(0.1)
        browser.hub.lets.set()
        await asyncio.gather(*clicks)
        assert browser.offsets() == [*range(99, 99 - 2 * RECORDS, -1)]
        await browser.older()
        assert browser.offsets() == [*range(99, 99 - 3 * RECORDS, -1)]

    play(story, seed)


def test_a_stream_that_was_made_anew_has_nothing_older(seed: int) -> None:
    async def story(browser: Browser) -> None:
        assert browser.has_older
        browser.hub.lets.clear()
        on_its_way = browser.older()
        await asyncio.sleep(0.1)
        await browser.node.running.store.submit(lambda tx: tx.delete_stream(NOTES))
        await add(browser.node, 3)
        await browser.second()
        assert not browser.has_older
        browser.hub.lets.set()
        await on_its_way
        await browser.older()  # clicked before it was hidden
        assert browser.offsets() == []
        await browser.second()
        assert browser.offsets() == [2, 1, 0]

    play(story, seed)
