"""Keeps the picture up to date: asks for nodes and links, and follows streams as they appear.

While nobody has a page open the nodes are asked for at a slow pace, so that the page which is opened next has a past.
Where the answers are long (a tree of thousands), the questions become rarer: the hub has other things to do.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from littoral.core.backoff import Backoff
from littoral.core.clock import Clock
from littoral.core.errors import LittoralError
from littoral.core.random import Random
from littoral.core.tasks import Tasks
from littoral.dashboard.follower import Follower
from littoral.dashboard.hub_api import HubApi, row_name
from littoral.dashboard.links_api import Action, LinksApi
from littoral.dashboard.picture import Picture
from littoral.node.status import STATUS
from littoral.store.dead_letters import DEAD_LETTERS
from littoral.wire.durable_streams import JSON

POLL_S = 1.0
"""Between two questions for the state of all nodes, and of all links."""
IDLE_POLL_S = 10.0
"""While nobody looks."""
LOOKED_S = 5.0
"""How long a page counts as open after it was last brought up to date."""
REST = 9
"""So many times as long as the last answer took, nothing is asked; but never longer than while nobody looks."""
LISTING_S = 3.0
"""Between two listings of streams: how long a new stream may go unseen."""
FOLLOWED_STREAMS = 128
"""Streams followed at a time, each by a request that waits at the hub; the rest are counted on the page."""
FOLLOWED = ({"named": STATUS}, {"lane": "alerts"}, {"lane": "telemetry"})
"""What is drawn, the most important first: nodes' own reports, alerts, and windows, which are telemetry."""
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
        self._looked_s = -LOOKED_S
        self._looked = asyncio.Event()

    def start(self) -> None:
        """Begin to ask."""
        self._tasks.start(self._ask_for_nodes(), "nodes")
        self._tasks.start(self._list_streams(), "streams")
        if self._links is not None:
            self._tasks.start(self._ask_for_links(self._links), "links")

    async def stop(self) -> None:
        """End all questions."""
        await self._tasks.stop()

    def looked(self) -> None:
        """A page is open, and was just brought up to date."""
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s > LOOKED_S:
            self._looked.set()
        self._looked_s = now_s

    async def steer(self, name: str, action: Action) -> None:
        """Cut or restore a WAN link, and show at once what became of it. Raises LittoralError."""
        assert self._links is not None, "no link is shown where none can be steered"
        await self._links.steer(name, action)
        self._picture.heard_links(await self._links.links(), self._clock.wall_ms())

    async def _ask_for_nodes(self) -> None:
        while True:
            began_s = self._clock.monotonic_s()
            try:
                self._picture.heard_nodes(await self._hub.nodes(), self._clock.wall_ms())
            except LittoralError as error:
                if self._picture.problem is None:
                    _log.warning("no answer from the hub: %s", error)
                self._picture.problem = str(error)
                began_s = self._clock.monotonic_s()  # What does not answer is not spared.
            await self._rest(self._clock.monotonic_s() - began_s)

    async def _rest(self, took_s: float) -> None:
        """Until the nodes are to be asked for again, or somebody begins to look."""
        self._looked.clear()
        is_looked_at = self._clock.monotonic_s() - self._looked_s <= LOOKED_S
        # An answer may be late because the hub was away, and not because it is long.
        rest_s = min(IDLE_POLL_S, max(POLL_S, REST * took_s)) if is_looked_at else IDLE_POLL_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._looked.wait()

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
        for wanted in FOLLOWED:
            page = await self._hub.streams(kind="open", type=JSON, plain="1", **wanted)
            unread += page.found - len(page.streams)
            for entry in page.streams:
                if entry.name in self._followed or row_name(entry).path == DEAD_LETTERS:
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
