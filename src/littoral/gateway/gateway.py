"""The data plane: who answers a request, and what becomes of what goes wrong on the way."""

import itertools
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError, MethodNotAllowed, NotFound, Unavailable
from littoral.gateway.exchange import ClientGone, Exchange
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.meters import Meters
from littoral.gateway.routes import NoRoute, RouteTable
from littoral.gateway.target import RequestTarget, read_target
from littoral.wire.problem import problem_response

NOBODY = ""
"""What requests are counted under that no route matched."""
GONE_STATUS = 499
"""What is counted where the client went away before it was answered."""
_NOTHING = FieldBlock(())


class Handler(Protocol):
    """Answers the requests of one route."""

    def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int | Awaitable[int]:
        """Answer, and return the status. What is at hand is given at once; else what is returned is awaited. Raises, or its
        awaitable does, LittoralError before anything was answered, and ClientGone."""
        ...


class Gateway:
    """Hands requests to handlers. One per gateway process."""

    def __init__(self, clock: Clock, instance: str, log: Callable[[str], None]) -> None:
        """instance: makes request ids of this process unlike those of others. log: receives faults of ours."""
        self.meters = Meters()
        self._clock = clock
        self._instance = instance
        self._log = log
        self._numbers = itertools.count(1)
        self._routes: RouteTable | None = None
        self._handlers: Mapping[str, Handler] = {}

    def configure(self, routes: RouteTable, handlers: Mapping[str, Handler]) -> None:
        """Use these from the next request on. handlers: by what the routes lead to."""
        self._routes = routes
        self._handlers = handlers

    def serve(self, exchange: Exchange) -> Awaitable[None] | None:
        """See `littoral.gateway.exchange.Serve`."""
        began_s = self._clock.monotonic_s()
        request_id = f"{self._instance}-{next(self._numbers):x}"
        to = NOBODY
        try:
            target = read_target(exchange.target)
            to = self._route(exchange, target.path)
            answer = self._handlers[to].serve(exchange, target, request_id)
        except Exception as error:  # noqa: BLE001 -- the boundary of a request: whatever it is, it is answered
            answer = self._refuse(exchange, error, request_id)
        if isinstance(answer, int):
            self.meters.observe(to, answer, self._clock.monotonic_s() - began_s)
            return None
        return self._finish(exchange, answer, to, began_s, request_id)

    async def _finish(
        self, exchange: Exchange, answer: Awaitable[int], to: str, began_s: float, request_id: str
    ) -> None:
        self.meters.inflight += 1
        status = GONE_STATUS
        try:
            status = await answer
        except ClientGone:
            pass
        except Exception as error:  # noqa: BLE001 -- as above
            status = self._refuse(exchange, error, request_id)
        finally:
            self.meters.inflight -= 1
            self.meters.observe(to, status, self._clock.monotonic_s() - began_s)

    def _route(self, exchange: Exchange, path: str) -> str:
        if self._routes is None:
            raise Unavailable("route request", "", "the node is starting", "Try again in a moment")
        found = self._routes.find(exchange.method, exchange.host, path)
        if isinstance(found, str):
            return found
        raise _no_route(exchange.method, path, found)

    def _refuse(self, exchange: Exchange, error: Exception, request_id: str) -> int:
        if not isinstance(error, LittoralError):
            self._log(f"[{request_id}] fault in the gateway\n{traceback.format_exc()}")
            error = LittoralError(
                "answer request", exchange.target[:120], "the gateway failed", "The node's log has more"
            )
        extra: Fields = [("allow", ", ".join(error.allow))] if isinstance(error, _NotAllowed) else []
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
