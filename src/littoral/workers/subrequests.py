"""`fetch`: requests that a function makes itself."""

from http import HTTPMethod
from typing import Any

from littoral.workers import platform
from littoral.workers.body import BodyInit
from littoral.workers.headers import HeadersInit
from littoral.workers.request import Request
from littoral.workers.response import Response


async def fetch(
    resource: str | Request,
    *,
    method: str | HTTPMethod | None = None,
    headers: HeadersInit = None,
    body: BodyInit = None,
    redirect: str | None = None,
    cf: Any = None,
) -> Response:
    """The answer to a request. resource: an absolute URL, or a request; the rest is as in Request.

    Raises NotSupported while functions cannot make requests.
    """
    return await platform.subrequest(
        Request(resource, method=method, headers=headers, body=body, redirect=redirect, cf=cf)
    )
