"""The operator API's part for routes: what there is (route_desk), and what becomes of a request (trace_desk)."""

from littoral.core.http import Request, Response
from littoral.node.route_desk import PATH, TEST_PATH, RouteDesk
from littoral.node.trace_desk import PATH as TRACE_PATH
from littoral.node.trace_desk import TraceDesk

PATHS = frozenset({PATH, TEST_PATH, TRACE_PATH})


class RouteApi:
    """Answers for requests with one of PATHS, once the operator is known."""

    def __init__(self, routes: RouteDesk, traces: TraceDesk) -> None:
        self._routes = routes
        self._traces = traces

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises LittoralError."""
        if request.path == TRACE_PATH:
            return await self._traces.handle(request)
        return self._routes.handle(request)
