"""What answers of several APIs have in common."""

import msgspec

from littoral.core.errors import MethodNotAllowed
from littoral.core.http import Request, Response

NO_STORE = ("cache-control", "no-store")
"""It is so now, and for whoever asked: nothing on the way is to keep it."""


def json_answer(body: object, status: int = 200) -> Response:
    """Any structure, as JSON."""
    return Response(status, [("content-type", "application/json"), NO_STORE], msgspec.json.encode(body))


def method_not_allowed(request: Request) -> MethodNotAllowed:
    """There is something at this path, which is not asked for so."""
    return MethodNotAllowed("call", request.path[:120], f"{request.method[:20]} is not what it takes")
