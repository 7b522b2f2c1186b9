"""The module `pyodide.http`: `pyfetch`, and the response it gives."""

from typing import Any

from littoral.workers.failures import AbortError
from littoral.workers.response import Response
from littoral.workers.subrequests import request_of, send


class HttpStatusError(OSError):
    """A response says by its status that something went wrong."""

    def __init__(self, status: int, status_text: str, url: str) -> None:
        self.status, self.status_text, self.url = status, status_text, url
        side = "Client Error" if status < 500 else "Server Error"
        super().__init__(f"{status} {side}: {status_text} for url: {url}")


class FetchResponse(Response):
    """A response with Pyodide's names."""

    __slots__ = ()

    def raise_for_status(self) -> None:
        """Raises HttpStatusError for a status of 400 or more."""
        if self.status >= 400:
            raise HttpStatusError(self.status, self.status_text, self.url)

    def abort(self, reason: object = None) -> None:
        """Nobody reads the rest: what is not read any more is given up."""
        self._body = None

    async def string(self) -> str:
        """The body as text."""
        return await self.text()

    async def memoryview(self) -> memoryview:
        """The body as a view of its bytes."""
        return memoryview(await self.bytes())


async def pyfetch(resource: Any, **options: Any) -> FetchResponse:
    """The answer to a request. Raises as `workers.fetch`."""
    known: dict[str, Any] = {
        name: options[name] for name in ("method", "headers", "body", "redirect", "cf") if name in options
    }
    return await send(request_of(resource, known), FetchResponse, options.get("signal"))


__all__ = ["AbortError", "FetchResponse", "HttpStatusError", "pyfetch"]
