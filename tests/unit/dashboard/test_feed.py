"""The feed, at a real hub."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from littoral.core.http import Request
from littoral.dashboard.feed import Feed
from littoral.dashboard.hub_api import HubApi
from littoral.dashboard.links_api import LinksApi
from littoral.dashboard.picture import Picture
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.drivers.transport import HttpTransport
from littoral.node.status import STATUS
from littoral.security.operator import TOKEN_PATH
from tests.support.operator_hub import serving_root

DEADLINE_S = 30.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the feed does every few seconds, for nobody waits for it here but us."""
    monkeypatch.setattr("littoral.dashboard.feed.LISTING_S", 0.1)


def window(start: int) -> dict[str, object]:
    return {"rule": "machine", "node": "cloud", "key": "k", "start": start, "end": start + 10, "count": 2, "mean": 1.5}


class Watch:
    """A feed at a hub, and somebody who writes there."""

    def __init__(self, transport: HttpTransport, url: str, data_dir: Path) -> None:
        self.transport, self.url, self.data_dir = transport, url, data_dir
        self.picture = Picture("cloud")
        self.faults: list[BaseException] = []
        links = LinksApi(transport, data_dir / "no-links.json")
        self.feed = Feed(
            self.picture,
            HubApi(transport, url, self.token),
            links,
            SystemClock(),
            SystemRandom(),
            self.faults.append,
        )

    def token(self) -> str | None:
        path = self.data_dir / TOKEN_PATH
        return path.read_text().strip() if path.exists() else None

    async def write(self, method: str, path: str, records: list[dict[str, object]]) -> None:
        headers = {"authorization": f"Bearer {self.token()}", "content-type": "application/json"}
        request = Request(method, f"/v1/streams/cloud/{path}", {}, headers, msgspec.json.encode(records))
        assert (await self.transport.request(self.url, request, 10)).status < 300

    async def has_reported(self) -> bool:
        """Whether the node has said how it is, in a stream of its own."""
        headers = {"authorization": f"Bearer {self.token()}"}
        request = Request("GET", f"/v1/streams/cloud/{STATUS}", {}, headers)
        return (await self.transport.request(self.url, request, 10)).status == 200

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0.02)
        assert self.faults == []


@asynccontextmanager
async def watching(url: str, data_dir: Path, *, begun: bool = True) -> AsyncIterator[Watch]:
    transport = HttpTransport()
    watch = Watch(transport, url, data_dir)
    if begun:
        watch.feed.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield watch
    finally:
        await watch.feed.stop()
        await transport.aclose()


def test_nodes_and_windows_appear_and_what_is_no_window_does_not_count(tmp_path: Path) -> None:
    async def story(url: str) -> None:
        async with watching(url, tmp_path) as watch:
            picture = watch.picture
            await watch.until(lambda: "cloud" in picture.nodes and picture.problem is None)
            await watch.write("PUT", "notes", [{"some": "text"}])
            await watch.write("PUT", "windows", [window(0), {"odd": 1}, window(10)])
            await watch.until(lambda: len(picture.windows.of_rule("machine")) == 1)
            assert picture.window_count == 3
            await watch.write("POST", "windows", [window(20)])
            await watch.until(lambda: picture.window_count == 4)
            assert picture.links_problem is not None
            assert "no-links.json" in picture.links_problem

    with serving_root(tmp_path) as url:
        asyncio.run(story(url))


def test_a_page_that_opens_is_not_kept_waiting_for_the_slow_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So slow that we would not be there any more.
    monkeypatch.setattr("littoral.dashboard.feed.IDLE_POLL_S", 2 * DEADLINE_S)

    async def story(url: str) -> None:
        async with watching(url, tmp_path) as watch:
            await watch.until(lambda: "cloud" in watch.picture.nodes)
            first = watch.picture.nodes
            watch.feed.looked()
            await watch.until(lambda: watch.picture.nodes is not first)

    with serving_root(tmp_path) as url:
        asyncio.run(story(url))


def test_streams_that_are_not_drawn_are_not_followed_and_what_cannot_be_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("littoral.dashboard.feed.FOLLOWED_STREAMS", 3)

    async def story(url: str) -> None:
        async with watching(url, tmp_path, begun=False) as watch:
            for number in range(4):
                await watch.write("PUT", f"windows-{number}", [window(number)])
            while not await watch.has_reported():
                await asyncio.sleep(0.02)
            watch.feed.start()
            await watch.until(lambda: watch.picture.window_count == 2)
            assert watch.picture.unread_streams == 2  # the node's own reports are followed as well
            assert len(watch.picture.windows.names()) == 1

    with serving_root(tmp_path) as url:
        asyncio.run(story(url))


def test_a_hub_that_is_away_is_said_to_be_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("littoral.dashboard.feed.IDLE_POLL_S", 0.2)

    async def away(url: str) -> None:
        async with watching(url, tmp_path) as watch:
            await watch.until(lambda: "refused" in (watch.picture.problem or ""))
            with serving_root(tmp_path, address=url.removeprefix("http://")):
                await watch.until(lambda: watch.picture.problem is None and watch.picture.nodes)

    with serving_root(tmp_path) as url:
        pass
    asyncio.run(away(url))
