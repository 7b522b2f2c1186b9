"""An operator who asks a simulated node's API."""

import json
from collections.abc import Mapping
from typing import Any

from littoral.core.http import Request, Response
from littoral.testing.tree import SimNode
from littoral.wire.problem import answer


async def call(
    node: SimNode,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> Response:
    """What the node's operator API answers to its operator."""
    hub = node.running
    fields = {"authorization": f"Bearer {hub.operator_token}", **(headers or {})}
    request = Request(method, path, query or {}, fields, body)
    response = await answer(hub.operator_api.handle, request, hub.seams.fault)
    assert isinstance(response, Response)
    return response


def json_of(response: Response) -> Any:
    return json.loads(response.body)


def header(response: Response, name: str) -> str | None:
    return next((value for key, value in response.headers if key.lower() == name), None)
