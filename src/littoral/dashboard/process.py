"""The dashboard's process: the feed, the page and the guard, wired to the machine."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from nicegui import ui

from littoral.core.errors import StartupError
from littoral.core.limits import Limits
from littoral.dashboard.app_history import AppHistory
from littoral.dashboard.apps_api import AppsApi
from littoral.dashboard.cache_page import CachePage
from littoral.dashboard.caches_api import CachesApi
from littoral.dashboard.feed import Feed
from littoral.dashboard.functions_page import FunctionsPage
from littoral.dashboard.guard import Guard
from littoral.dashboard.hub_api import HubApi
from littoral.dashboard.letters_api import LettersApi
from littoral.dashboard.letters_page import LettersPage
from littoral.dashboard.links_api import LinksApi
from littoral.dashboard.links_page import LinksPage
from littoral.dashboard.mqtt_api import MqttApi
from littoral.dashboard.mqtt_page import MqttPage
from littoral.dashboard.overview import Overview
from littoral.dashboard.picture import Picture
from littoral.dashboard.quarantine_page import QuarantinePage
from littoral.dashboard.session import Sessions
from littoral.dashboard.shell import LOGO, PAGES, Shell
from littoral.dashboard.stream_page import StreamPage
from littoral.dashboard.streams_page import StreamsPage, choice_of
from littoral.drivers.asgi_server import AsgiServer
from littoral.drivers.clock import SystemClock
from littoral.drivers.listeners import adopt_listener
from littoral.drivers.random import SystemRandom
from littoral.drivers.transport import HttpTransport
from littoral.node.layout import read_node_file
from littoral.security.operator import TOKEN_PATH

STOP_GRACE_S = 2.0
"""How long open requests may take at the end; browsers hold WebSockets, and connect again by themselves."""


class DashboardProcess:
    """One dashboard for one node."""

    def __init__(self, descriptor: int, api_url: str, data_dir: Path, links: Path | None) -> None:
        """descriptor: a listening socket. Raises StartupError."""
        if not api_url.startswith("http://"):
            raise StartupError("ask the hub at", api_url, "the operator API is plain HTTP", 'Write "http://host:port"')
        node = read_node_file(data_dir)
        self._listener = adopt_listener(descriptor)
        self._token_path = data_dir / TOKEN_PATH
        self._clock = SystemClock()
        self._transport = HttpTransport()
        self._picture = Picture(node.metadata.name)
        self._fault: BaseException | None = None
        self._ended = asyncio.Event()
        self._hub = HubApi(self._transport, api_url, self._token)
        self._feed = Feed(
            self._picture,
            self._hub,
            LinksApi(self._transport, links) if links else None,
            self._clock,
            SystemRandom(),
            self._failed,
        )
        self._app = FastAPI(title="Littoral", docs_url=None, redoc_url=None, openapi_url=None)
        guard = Guard(
            self._app,
            self._token,
            Sessions(self._clock),
            node.spec.advertise,
            self._listener.getsockname()[1],
            PAGES,
        )
        self._server = AsgiServer(descriptor, guard, Limits(node.spec.limits))

    async def run(self) -> int:
        """Serve until SIGTERM; the process's exit status."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ended.set)
        # Ctrl-C reaches the whole group; the supervisor decides in which order processes end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._mount_pages()
        async with self._app.router.lifespan_context(self._app):
            self._feed.start()
            self._server.start()
            await self._ended.wait()
            await self._server.stop(STOP_GRACE_S)
            await self._feed.stop()
        await self._transport.aclose()
        if self._fault is not None:
            raise self._fault
        return 0

    def _mount_pages(self) -> None:
        def shell(path: str) -> Shell:
            return Shell(self._picture, self._clock, self._feed.looked, path)

        name = self._picture.name

        @ui.page("/", title=f"Littoral: {name}")
        def overview() -> None:
            Overview(shell("/"), self._feed.steer)

        @ui.page("/streams", title=f"Streams: {name}")
        def streams(text: str = "", lane: str = "", kind: str = "", order: str = "", descending: str = "") -> None:
            StreamsPage(shell("/streams"), self._hub, choice_of(text, lane, kind, order, descending))

        @ui.page("/stream", title=f"Stream: {name}")
        def stream(name: str = "") -> None:
            StreamPage(shell("/streams"), self._hub, name)

        @ui.page("/links", title=f"Links: {name}")
        def links() -> None:
            LinksPage(shell("/links"))

        @ui.page("/cache", title=f"Cache: {name}")
        def cache() -> None:
            CachePage(shell("/cache"), CachesApi(self._hub, name))

        apps = AppHistory()

        @ui.page("/functions", title=f"Functions: {name}")
        def functions() -> None:
            FunctionsPage(shell("/functions"), AppsApi(self._hub, name), apps)

        self._mount_desks(shell)
        ui.run_with(
            self._app,
            dark=None,
            tailwind=False,
            favicon=LOGO,
            binding_refresh_interval=None,
            show_welcome_message=False,
        )

    def _mount_desks(self, shell: Callable[[str], Shell]) -> None:
        """The pages on which something is done about what is shown."""
        name = self._picture.name

        @ui.page("/mqtt", title=f"MQTT: {name}")
        def mqtt() -> None:
            MqttPage(shell("/mqtt"), MqttApi(self._hub, name))

        @ui.page("/dead-letters", title=f"Dead letters: {name}")
        def letters() -> None:
            LettersPage(shell("/dead-letters"), LettersApi(self._hub, self._picture.name))

        @ui.page("/quarantine", title=f"Quarantine: {name}")
        def quarantine() -> None:
            QuarantinePage(shell("/quarantine"), self._hub)

    def _token(self) -> str | None:
        """Read each time: the hub may not have made it yet, and a new one ends all sessions."""
        try:
            return self._token_path.read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None

    def _failed(self, error: BaseException) -> None:
        self._fault = error
        self._ended.set()
