"""The module a function author imports: `from workers import WorkerEntrypoint, Response`.

Inside a function it is importable as `workers`; outside (tests, editors) as `littoral.workers`. The names and
their behaviour follow Cloudflare's Python Workers.
"""

from littoral.workers.entrypoint import Context, WorkerEntrypoint
from littoral.workers.env import Env
from littoral.workers.headers import Headers
from littoral.workers.kv import KVError, KVKey, KVList, KVNamespace
from littoral.workers.request import Request
from littoral.workers.response import Response

__all__ = [
    "Context",
    "Env",
    "Headers",
    "KVError",
    "KVKey",
    "KVList",
    "KVNamespace",
    "Request",
    "Response",
    "WorkerEntrypoint",
]
