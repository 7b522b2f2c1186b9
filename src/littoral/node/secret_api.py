"""Apps' secrets over the operator API of the root. What was set is told to nobody.

GET     /v1/secrets/APP              the names of its secrets
PUT     /v1/secrets/APP/NAME         set one: the body is the value, UTF-8
DELETE  /v1/secrets/APP/NAME
"""

from littoral.core.errors import Conflict, NotFound
from littoral.core.http import Request, Response
from littoral.fleet.secrets import SecretDesk
from littoral.wire.answers import json_answer, method_not_allowed

PATH = "/v1/secrets/"


class SecretApi:
    """Answers requests under PATH, once the operator is known."""

    def __init__(self, desk: SecretDesk | None) -> None:
        """desk: None at a node that is not the root."""
        self._desk = desk

    async def handle(self, request: Request) -> Response:
        """Raises LittoralError."""
        app, slash, name = request.path.removeprefix(PATH).partition("/")
        desk = self._desk
        if desk is None:
            raise Conflict("use secrets of", f"app {app[:80]}", "this node is not the root", "Ask the root")
        match request.method, bool(slash):
            case "GET", False:
                return json_answer(desk.names(app))
            case "PUT", True:
                await desk.put(app, name, request.body)
                return Response(204)
            case "DELETE", True:
                if name not in desk.names(app):
                    raise NotFound("delete secret", f"{name[:130]} of app {app[:80]}", "there is no such secret")
                await desk.delete(app, name)
                return Response(204)
        raise method_not_allowed(request)
