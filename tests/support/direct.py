"""A transport to a hub's operator API, without a network in between."""

from contextlib import AbstractAsyncContextManager

from littoral.core.errors import LittoralError
from littoral.core.http import Request, Response
from littoral.core.transport import OpenStream
from littoral.testing.tree import SimNode
from littoral.wire.problem import problem_response


class Direct:
    """To the hub of one node."""

    def __init__(self, node: SimNode) -> None:
        self._node = node

    async def request(self, base_url: str, request: Request, timeout_s: float) -> Response:
        try:
            response = await self._node.running.operator_api.handle(request)
        except LittoralError as error:
            return problem_response(error)
        assert isinstance(response, Response)
        return response

    def stream(self, base_url: str, request: Request, idle_timeout_s: float) -> AbstractAsyncContextManager[OpenStream]:
        raise AssertionError("nothing of the dashboard streams")
