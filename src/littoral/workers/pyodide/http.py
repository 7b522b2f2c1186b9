"""The module `pyodide.http`: `pyfetch`, and the response it gives."""

from typing import Any

from littoral.workers.response import Response as FetchResponse
from littoral.workers.subrequests import fetch


async def pyfetch(resource: Any, **options: Any) -> FetchResponse:
    """The answer to a request. Raises NotSupported while functions cannot make requests."""
    options.pop("fetcher", None)
    return await fetch(resource, **options)


__all__ = ["FetchResponse", "pyfetch"]
