"""Keeps the picture up to date: asks for nodes and links at a fixed pace, and follows streams as they appear."""

import asyncio
import logging
from collections.abc import Callable

from littoral.core.backoff import Backoff
from littoral.core.clock import Clock
from littoral.core.errors import LittoralError
from littoral.core.random import Random
from littoral.core.tasks import Tasks
from littoral.dashboard.follower import Follower, is_followed
from littoral.dashboard.hub_api import HubApi
from littoral.dashboard.links_api import Action, LinksApi
from littoral.dashboard.picture import Picture
from littoral.store.dead_letters import DEAD_LETTERS

POLL_S = 1.0
"""Between two questions for the state of all nodes, and of all links."""
LISTING_S = 3.0
"""Between two listings of streams: how long a new stream may go unseen."""
FOLLOWED_STREAMS = 128
"""Streams followed at a time, each by a request that waits at the hub; the rest are counted on the page."""
RETRY_MS = 5000

_log = logging.getLogger("littoral.dashboard")


class Feed:
    """The only writer of the picture."""

    def __init__(
        self,
        picture: Picture,
        hub: HubApi,
        links: LinksApi | None,
        clock: Clock,
        random: Random,
        failed: Callable[[BaseException], None],
    ) -> None:
        """failed: hears of faults of ours in background work."""
        self._picture = picture
        self._hub = hub
        self._links = links
        self._clock = clock
        self._random = random
        self._tasks = Tasks(failed)
        self._followed: set[str] = set()

    def start(self) -> None:
        """Begin to ask."""
        self._tasks.start(self._ask_for_nodes(), "nodes")
        self._tasks.start(self._list_streams(), "streams")
        if self._links is not None:
            self._tasks.start(self._ask_for_links(self._links), "links")

    async def stop(self) -> None:
        """End all questions."""
        await self._tasks.stop()

    async def steer(self, name: str, action: Action) -> None:
        """Cut or restore a WAN link, and show at once what became of it. Raises LittoralError."""
        assert self._links is not None, "no link is shown where none can be steered"
        await self._links.steer(name, action)
        self._picture.heard_links(await self._links.links(), self._clock.wall_ms())

    async def _ask_for_nodes(self) -> None:
        while True:
            try:
                self._picture.heard_nodes(await self._hub.nodes(), self._clock.wall_ms())
            except LittoralError as error:
                if self._picture.problem is None:
                    _log.warning("no answer from the hub: %s", error)
                self._picture.problem = str(error)
            await asyncio.sleep(POLL_S)

    async def _ask_for_links(self, links: LinksApi) -> None:
        while True:
            try:
                self._picture.heard_links(await links.links(), self._clock.wall_ms())
            except LittoralError as error:
                self._picture.links_problem = str(error)
            await asyncio.sleep(POLL_S)

    async def _list_streams(self) -> None:
        while True:
            try:
                await self._follow_new()
            except LittoralError as error:
                # The nodes are asked for beside this, and say so on the page.
                _log.debug("%s", error)
            await asyncio.sleep(LISTING_S)

    async def _follow_new(self) -> None:
        unread = 0
        for entry in await self._hub.streams():
            if entry.name in self._followed or entry.stream.path == DEAD_LETTERS or not is_followed(entry):
                continue
            if len(self._followed) >= FOLLOWED_STREAMS:
                unread += 1
                continue
            self._followed.add(entry.name)
            follower = Follower(self._hub, entry, self._picture, Backoff(self._random, RETRY_MS))
            self._tasks.start(self._follow(entry.name, follower), f"follow {entry.name}")
        self._picture.unread_streams = unread

    async def _follow(self, name: str, follower: Follower) -> None:
        try:
            await follower.run()
        finally:
            self._followed.discard(name)
