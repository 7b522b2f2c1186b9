"""The node's egress: it makes the requests of functions, which have no way to the network but this one."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from littoral.core.clock import Clock
from littoral.core.egress import shown_url
from littoral.core.errors import Forbidden, InvalidInput, LimitReached, LittoralError
from littoral.core.function_limits import EGRESS_IDLE_CONNECTIONS, EGRESS_REQUESTS
from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.drivers.origin_connect import TlsContexts
from littoral.drivers.origin_transport import HttpOriginTransport
from littoral.functions.connection import check_socket_path
from littoral.functions.egress_messages import Ask, Head
from littoral.functions.egress_rules import EgressRules
from littoral.functions.hub.bindings import Credentials
from littoral.functions.hub.egress_config import EgressApp, EgressConfigFile
from littoral.functions.hub.platform_socket import serve_workers
from littoral.functions.places import EGRESS
from littoral.node.egress_call import EgressCall, LookUp
from littoral.node.egress_line import EgressLine
from littoral.node.egress_meters import EgressMeter

ADDRESSES_S = 5.0
"""For so long the addresses of a name are not asked for again. They are looked at for each request all the same."""
NAMES_KEPT = 1000
CREDENTIAL_S = 5.0
"""A connection on which nobody has said by then who it is, is closed."""
LINES_PER_REQUEST = 2
"""Workers keep connections for later: an app may have so many times as many as it may have requests under way."""
SAID_S = 1.0
"""Refusals of one app are logged no more often; how many there were is said with the next one."""
_REFUSALS = (Forbidden, InvalidInput, LimitReached)


class EgressServer:
    """Answers the workers of all apps at run/srv/egress."""

    def __init__(self, run_dir: Path, look_up: LookUp, clock: Clock, tasks: Tasks, log: Callable[[str], None]) -> None:
        """look_up: the addresses of a name. log: takes one line."""
        self.limits = Limits()
        self._path = check_socket_path(run_dir / EGRESS)
        self._file = EgressConfigFile(run_dir)
        self._look_up = _Remembered(look_up, clock)
        self._clock = clock
        self._tasks = tasks
        self._log = log
        self._contexts = TlsContexts()
        self._credentials: Credentials | None = None
        self._apps: dict[str, _App] = {}
        self._lines: set[EgressLine] = set()
        self._server: asyncio.AbstractServer | None = None
        self._load()

    async def start(self) -> None:
        """Listen. Raises OSError."""
        self._server = await serve_workers(self._path, lambda: EgressLine(self))

    async def stop(self) -> None:
        """Close; what is under way is broken off."""
        if self._server is not None:
            self._server.close()
        for line in list(self._lines):
            line.close()
        for app in self._apps.values():
            await app.transport.aclose()

    @property
    def meters(self) -> dict[str, EgressMeter]:
        """By app."""
        return {name: app.meter for name, app in self._apps.items()}

    @property
    def under_way(self) -> int:
        """Requests."""
        return sum(app.under_way for app in self._apps.values())

    @property
    def connections(self) -> int:
        """To servers, those that are kept for later included."""
        return sum(app.transport.open_connections for app in self._apps.values())

    # Lines

    def opened(self, line: EgressLine) -> None:
        """See `egress_line.Owner`."""
        self._lines.add(line)
        asyncio.get_running_loop().call_later(CREDENTIAL_S, self._check_proved, line)

    def lost(self, line: EgressLine) -> None:
        """See `egress_line.Owner`."""
        self._lines.discard(line)

    def admit(self, credential: str) -> str | None:
        """See `egress_line.Owner`."""
        self._load()
        app = self._credentials.app(credential) if self._credentials is not None else None
        if sum(line.app == app for line in self._lines) >= self.limits[EGRESS_REQUESTS] * LINES_PER_REQUEST:
            self.limits.hit(EGRESS_REQUESTS)
            return None
        return app

    def _check_proved(self, line: EgressLine) -> None:
        """Whoever has not said who it is, is nobody that waits for an answer."""
        if line in self._lines and not line.app:
            line.close()

    def ask(self, line: EgressLine, ask: Ask) -> "asyncio.Task[None]":
        """See `egress_line.Owner`."""
        self._load()
        return self._tasks.start(self._answer(line, ask), f"egress of {line.app}")

    async def _answer(self, line: EgressLine, ask: Ask) -> None:
        app = self._apps.get(line.app)
        if app is None:
            line.say(
                Head(error=f"cannot fetch {shown_url(ask.url)}: app {line.app} is not placed at this node any more")
            )
            return
        app.meter.requests += 1
        app.under_way += 1
        try:
            await self._call(app, line, ask)
        except LittoralError as error:
            if isinstance(error, _REFUSALS):
                app.meter.refused += 1
                self._say_refused(app, ask, error)
            else:
                app.meter.failed += 1
            line.say(Head(error=str(error)))
        except ConnectionError:
            # The worker is gone in the middle of its request: it is told nothing.
            line.close()
        finally:
            app.under_way -= 1
            app.transport.close_idle(self.limits[EGRESS_IDLE_CONNECTIONS])

    async def _call(self, app: "_App", line: EgressLine, ask: Ask) -> None:
        """Raises LittoralError while nothing of an answer was passed on."""
        most = self.limits[EGRESS_REQUESTS]
        if app.under_way > most:
            self.limits.hit(EGRESS_REQUESTS)
            cause = f"app {line.app} has {most} requests under way, which is the limit egress-requests"
            raise LimitReached("fetch", shown_url(ask.url), cause, "Try again later")
        call = EgressCall(
            line,
            ask,
            rules=app.rules,
            transport=app.transport,
            look_up=self._look_up,
            limits=self.limits,
            meter=app.meter,
        )
        await call.answer()

    def _say_refused(self, app: "_App", ask: Ask, error: LittoralError) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - app.said_s < SAID_S:
            app.unsaid += 1
            return
        more = f" ({app.unsaid} more since the last such line)" if app.unsaid else ""
        # A worker is not trusted to have said what fits into one line.
        line = f"egress: {app.name}: [{ask.request_id[:80]}] {error}{more}"
        self._log("".join(each if each.isprintable() else "?" for each in line))
        app.said_s, app.unsaid = now_s, 0

    # Configuration

    def _load(self) -> None:
        """Take over what the hub has written, if it is new."""
        config = self._file.changed()
        if config is None:
            return
        self.limits = Limits(config.limits, self.limits.reached)
        self._credentials = Credentials(config.key)
        wanted = {app.name: app for app in config.apps}
        for name in self._apps.keys() - wanted.keys():
            self._tasks.start(self._apps.pop(name).transport.aclose(), f"close egress of {name}")
        for name, app in wanted.items():
            if name not in self._apps:
                self._apps[name] = _App(name, HttpOriginTransport(self.limits, self._contexts))
            self._apps[name].configure(app, self.limits)


class _App:
    """One app's. Its connections are its own: none is used for another's request."""

    def __init__(self, name: str, transport: HttpOriginTransport) -> None:
        self.name = name
        self.transport = transport
        self.rules = EgressRules(name, (), only_listed=True)
        self.meter = EgressMeter()
        self.under_way = 0
        self.said_s = float("-inf")
        """When a refusal was logged."""
        self.unsaid = 0

    def configure(self, app: EgressApp, limits: Limits) -> None:
        """Go by these rules from now on."""
        self.rules = EgressRules(app.name, app.rules, only_listed=app.only_listed)
        self.transport.limits = limits


class _Remembered:
    """Looks up names, and remembers for a moment what was found."""

    def __init__(self, look_up: LookUp, clock: Clock) -> None:
        self._look_up = look_up
        self._clock = clock
        self._known: dict[str, tuple[float, list[str]]] = {}

    async def __call__(self, host: str) -> list[str]:
        """See `egress_call.LookUp`."""
        known = self._known.get(host)
        if known is not None and self._clock.monotonic_s() - known[0] < ADDRESSES_S:
            return known[1]
        found = list(dict.fromkeys(await self._look_up(host)))
        self._known.pop(host, None)
        while len(self._known) >= NAMES_KEPT:
            del self._known[next(iter(self._known))]
        self._known[host] = (self._clock.monotonic_s(), found)
        return found
