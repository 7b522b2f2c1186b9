"""The data plane: who answers a request, and what becomes of what goes wrong on the way."""

import itertools
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError, MethodNotAllowed, NotFound, Unavailable
from littoral.gateway.exchange import Answering, BodyBroken, ClientGone, Exchange, Later
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.forwarding import PSEUDONYM
from littoral.gateway.meters import Meters
from littoral.gateway.noted import Noted
from littoral.gateway.notes import Notes
from littoral.gateway.proxy_status import PROXY_STATUS, proxy_status
from littoral.gateway.routes import NoRoute, RouteTable
from littoral.gateway.target import RequestTarget, read_target
from littoral.gateway.watch import Watch
from littoral.wire.caching.serving import ERRORS
from littoral.wire.problem import problem_response

NOBODY = ""
"""What requests are counted under that no route matched."""
_NOTHING = FieldBlock(())
NOTHING_WATCHED: Mapping[str, Watch] = {}


Served = int | Later | Awaitable[int]
"""The status of an answer that was given, or what it comes from."""
GONE_STATUS = 499
"""What is counted where the client went away before it was answered."""


class Handler(Protocol):
    """Answers the requests of one route."""

    def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> Served:
        """Answer, and return the status. What is at hand is given at once; else what is returned is awaited, or tells by itself
        what has become of it. Raises, or its awaitable does, LittoralError before anything was answered, and ClientGone."""
        ...


class Gateway:
    """Hands requests to handlers. One per gateway process."""

    def __init__(self, clock: Clock, instance: str, log: Callable[[str], None]) -> None:
        """instance: makes request ids of this process unlike those of others. log: receives faults of ours."""
        self.meters = Meters()
        self.name = PSEUDONYM
        """What it calls itself in what it says of errors."""
        self._clock = clock
        self._instance = instance
        self._log = log
        self._numbers = itertools.count(1)
        self._routes: RouteTable | None = None
        self._handlers: Mapping[str, Handler] = {}
        self._watches: Mapping[str, Watch] = {}

    def configure(
        self, routes: RouteTable, handlers: Mapping[str, Handler], watches: Mapping[str, Watch] = NOTHING_WATCHED
    ) -> None:
        """Use these from the next request on. handlers: by what the routes lead to. watches: likewise, of those requests that
        notes are taken of; those of NOBODY, too."""
        self._routes = routes
        self._handlers = handlers
        self._watches = watches

    def find(self, method: str, host: str, path: str) -> str | NoRoute:
        """What requests lead to."""
        return self._routes.find(method, host, path) if self._routes is not None else NoRoute()

    def serve(self, exchange: Exchange) -> Answering | Later | None:
        """See `littoral.gateway.exchange.Serve`."""
        began_s = self._clock.monotonic_s()
        request_id = f"{self._instance}-{next(self._numbers):x}"
        to = NOBODY
        try:
            target = read_target(exchange.target)
            to = self._route(exchange, target.path)
            if self._watches or exchange.notes is not None:
                exchange = self._noted(exchange, to, request_id, began_s)
            answer = self._handlers[to].serve(exchange, target, request_id)
        except Exception as error:  # noqa: BLE001 -- the boundary of a request: whatever it is, it is answered
            exchange = self._noted(exchange, to, request_id, began_s)
            answer = self._refuse(exchange, error, request_id)
        if isinstance(answer, int):
            seconds = self._clock.monotonic_s() - began_s
            self.meters.observe(to, answer, seconds, exchange.sent_bytes)
            if exchange.notes is not None:
                self._tell(exchange, exchange.notes, answer, seconds)
            return None
        if isinstance(answer, Later):
            answer.host, answer.to, answer.began_s = self, to, began_s
            self.meters.inflight += 1
            return answer
        return self._finish(exchange, answer, to, began_s, request_id)

    # What comes later: nobody takes notes of it

    def settle(self, later: Later, status: int) -> None:
        """See LaterHost."""
        meters = self.meters
        meters.inflight -= 1
        meters.observe(later.to, status, self._clock.monotonic_s() - later.began_s, later.exchange.sent_bytes)

    def abandon(self, later: Later) -> None:
        """See LaterHost."""
        self.settle(later, GONE_STATUS)

    def refuse_later(self, later: Later, error: Exception) -> None:
        """See LaterHost."""
        self.settle(later, self._refuse(later.exchange, error, later.request_id))

    def take_on(self, later: Later, rest: Awaitable[int]) -> None:
        """See LaterHost."""
        exchange = later.exchange
        assert exchange.go_on is not None, "who may be answered later goes on, too"
        self.meters.inflight -= 1
        exchange.go_on(self._finish(exchange, rest, later.to, later.began_s, later.request_id))

    async def _finish(
        self, exchange: Exchange, answer: Awaitable[int], to: str, began_s: float, request_id: str
    ) -> None:
        self.meters.inflight += 1
        status = GONE_STATUS
        try:
            status = await answer
        except ClientGone:
            pass
        except BodyBroken:
            # The driver has answered by itself.
            status = BodyBroken.status
        except Exception as error:  # noqa: BLE001 -- as above
            status = self._refuse(exchange, error, request_id)
        finally:
            self.meters.inflight -= 1
            seconds = self._clock.monotonic_s() - began_s
            self.meters.observe(to, status, seconds, exchange.sent_bytes)
            if exchange.notes is not None:
                self._tell(exchange, exchange.notes, status, seconds)

    def _route(self, exchange: Exchange, path: str) -> str:
        if self._routes is None:
            raise Unavailable("route request", "", "the node is starting", "Try again in a moment")
        found = self._routes.find(exchange.method, exchange.host, path)
        if isinstance(found, str):
            return found
        raise _no_route(exchange.method, path, found)

    def _noted(self, exchange: Exchange, to: str, request_id: str, began_s: float) -> Exchange:
        """The exchange as its handler is given it: notes are taken of it, if somebody wants them."""
        notes = exchange.notes
        if notes is None:
            watch = self._watches.get(to)
            if watch is None:
                return exchange
            notes = Notes(self._clock.monotonic_s, began_s, shows_timing=watch.shows_timing)
            exchange = Noted(exchange, notes)
        notes.route, notes.request_id = to, request_id
        return exchange

    def _tell(self, exchange: Exchange, notes: Notes, status: int, seconds: float) -> None:
        """A request has ended of which notes were taken."""
        watch = self._watches.get(notes.route)
        if watch is not None and watch.log is not None:
            watch.log.take(exchange, notes, status, seconds)

    def _refuse(self, exchange: Exchange, error: Exception, request_id: str) -> int:
        if not isinstance(error, LittoralError):
            trace = "".join(traceback.format_exception(error))
            self._log(f"[{request_id}] fault in the gateway\n{trace}")
            error = LittoralError(
                "answer request", exchange.target[:120], "the gateway failed", "The node's log has more"
            )
        if exchange.notes is not None:
            exchange.notes.failure = str(error)
        extra: Fields = [("allow", ", ".join(error.allow))] if isinstance(error, _NotAllowed) else []
        if error.status in ERRORS:
            extra = [(PROXY_STATUS, proxy_status(self.name, error))]
        response = problem_response(error, request_id, extra)
        exchange.respond(response.status, _NOTHING, response.headers, response.body)
        return response.status


class _NotAllowed(MethodNotAllowed):
    """With the methods that would be."""

    allow: tuple[str, ...] = ()


def _no_route(method: str, path: str, found: NoRoute) -> LittoralError:
    if not found.allow:
        return NotFound("route request", path[:120], "nothing at this node answers this path")
    error = _NotAllowed("route request", path[:120], f"it does not take {method}", f"It takes {', '.join(found.allow)}")
    error.allow = found.allow
    return error
