"""The module a function author imports: `from workers import WorkerEntrypoint, Response`.

Inside a function it is importable as `workers`; outside (tests, editors) as `littoral.workers`. The names and
their behaviour follow Cloudflare's Python Workers; docs/reference/workers.md says what of them is there. `workers.asgi`
and `workers.wsgi` run applications of either kind.
"""

import importlib
from typing import TYPE_CHECKING, Any

from littoral.workers.binding import BindingError
from littoral.workers.blob import Blob, File
from littoral.workers.body import BodyUsedError
from littoral.workers.caches import CacheError, caches
from littoral.workers.entrypoint import Context, DurableObject, WorkerEntrypoint, WorkflowEntrypoint, handler
from littoral.workers.environment import Env
from littoral.workers.events import Message, MessageBatch, ScheduledController
from littoral.workers.form_data import FormData
from littoral.workers.headers import Headers
from littoral.workers.kv import KVError, KVKey, KVList, KVNamespace
from littoral.workers.missing import NotSupported
from littoral.workers.platform import env, wait_until
from littoral.workers.request import Request
from littoral.workers.response import Response
from littoral.workers.streams import ReadableStream, TransformStream
from littoral.workers.subrequests import fetch

if TYPE_CHECKING:
    from littoral.workers.abort import AbortController, AbortSignal
    from littoral.workers.ai import AIError
    from littoral.workers.analytics import AnalyticsError
    from littoral.workers.queue import QueueError
    from littoral.workers.service import ServiceError
    from littoral.workers.url import URL, URLSearchParams
    from littoral.workers.url_pattern import URLPattern
    from littoral.workers.web_socket import WebSocket, WebSocketPair

waitUntil = wait_until
FetchResponse = Response

__all__ = [
    "URL",
    "AIError",
    "AbortController",
    "AbortSignal",
    "AnalyticsError",
    "BindingError",
    "Blob",
    "BodyUsedError",
    "CacheError",
    "Context",
    "DurableObject",
    "Env",
    "FetchResponse",
    "File",
    "FormData",
    "Headers",
    "KVError",
    "KVKey",
    "KVList",
    "KVNamespace",
    "Message",
    "MessageBatch",
    "NotSupported",
    "QueueError",
    "ReadableStream",
    "Request",
    "Response",
    "ScheduledController",
    "ServiceError",
    "TransformStream",
    "URLPattern",
    "URLSearchParams",
    "WebSocket",
    "WebSocketPair",
    "WorkerEntrypoint",
    "WorkflowEntrypoint",
    "caches",
    "env",
    "fetch",
    "handler",
    "waitUntil",
    "wait_until",
]

_ON_DEMAND = {
    "AIError": "ai",
    "AbortController": "abort",
    "AbortSignal": "abort",
    "AnalyticsError": "analytics",
    "QueueError": "queue",
    "ServiceError": "service",
    "URL": "url",
    "URLPattern": "url_pattern",
    "URLSearchParams": "url",
    "WebSocket": "web_socket",
    "WebSocketPair": "web_socket",
}


def __getattr__(name: str) -> Any:
    """What few functions need, and what costs memory, is loaded when it is asked for."""
    if name not in _ON_DEMAND:
        raise AttributeError(f"module 'workers' has no {name!r}; it has: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"littoral.workers.{_ON_DEMAND[name]}"), name)
