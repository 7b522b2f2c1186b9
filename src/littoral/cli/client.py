"""A client of one API with a bearer token: a node's operator API, or the links API of a local tree."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from littoral.core.errors import LittoralError, Unavailable
from littoral.core.http import Request, Response
from littoral.core.limits import LONG_POLL_S
from littoral.core.resources import parse_duration_ms
from littoral.core.undecodable import UNDECODABLE
from littoral.drivers.transport import HttpTransport
from littoral.wire.inbox import DEADLINE_DEFAULT, DEADLINE_HEADER, NODES_PATH
from littoral.wire.problem import Problem, error_of

TIMEOUT_S = LONG_POLL_S.default + 10.0
"""Longer than the longest answer that a node holds back on purpose."""

DEADLINE_MS = parse_duration_ms(DEADLINE_DEFAULT)

T = TypeVar("T")


class ApiClient:
    """One call after the other; Ctrl-C ends a call that is waiting. Use it in a `with` block.

    Raises everywhere: what the node answered, as `core.errors` has it; PeerUnreachable where nothing answered.
    """

    def __init__(self, url: str, token: str, at: str | None = None, deadline_ms: int = DEADLINE_MS) -> None:
        """at: a node below that at `url`, which is meant and asked through it. deadline_ms: how long any node that is asked
        through another has to answer."""
        self.url = url.rstrip("/")
        self._token = token
        self.at = at
        self._prefix = "" if at is None else f"{NODES_PATH}{at}/api"
        self._deadline_ms = deadline_ms
        # The transport is asynchronous; its runner is also what makes Ctrl-C end a call in progress.
        self._runner = asyncio.Runner()
        self._transport = HttpTransport()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._runner.run(self._transport.aclose())
        self._runner.close()

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer to one request, if it is a good one. path: not percent-encoded."""
        sent = {**(headers or {}), "authorization": f"Bearer {self._token}"}
        timeout_s = TIMEOUT_S
        path = f"{self._prefix}{path}"
        if path.startswith(NODES_PATH):
            sent[DEADLINE_HEADER] = f"{self._deadline_ms}ms"
            timeout_s += self._deadline_ms / 1000
        request = Request(method, path, query or {}, sent, body)
        answer = self._runner.run(self._transport.request(self.url, request, timeout_s))
        if answer.status >= 400:
            raise _said(answer, f"{method} {self.url}{path}")
        return answer

    def get(self, path: str, kind: type[T], query: Mapping[str, str] | None = None) -> T:
        """The JSON answer to a GET."""
        return self._decoded(self.call("GET", path, query=query), kind)

    def post(
        self, path: str, body: bytes, content_type: str, kind: type[T], query: Mapping[str, str] | None = None
    ) -> T:
        """The JSON answer to a POST."""
        return self._decoded(self.call("POST", path, body, query, {"content-type": content_type}), kind)

    def _decoded(self, answer: Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except UNDECODABLE as error:
            raise Unavailable(
                "read the answer of", self.url, str(error), "Check that the URL is that of a node's operator API"
            ) from error


def header(answer: Response, name: str) -> str | None:
    """The value of a header of an answer, whatever the case of its name."""
    return next((value for key, value in answer.headers if key.lower() == name.lower()), None)


def _said(answer: Response, call: str) -> LittoralError:
    """The error that was answered, naming what was done."""
    error = error_of(answer.status, answer.body, "", "")
    if error.operation:
        return error
    # What was done may stand in the sentence only: "cannot OPERATION SUBJECT: CAUSE. REMEDY".
    try:
        detail = msgspec.json.decode(answer.body, type=Problem).detail
    except UNDECODABLE:
        detail = ""
    what, found, _ = detail.partition(f": {error.cause}")
    if found and what.startswith("cannot "):
        return type(error)(what.removeprefix("cannot "), "", error.cause, error.remedy)
    return type(error)("call", call, error.cause, error.remedy)
