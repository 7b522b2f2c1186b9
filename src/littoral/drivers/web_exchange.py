"""One request at the gateway and its answer: what is the same for all versions of HTTP."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from http import HTTPStatus

from littoral.core.errors import LittoralError
from littoral.core.http import Response
from littoral.drivers.web_body import IncomingBytes
from littoral.drivers.web_host import WebHost
from littoral.gateway.exchange import Answering, BodyBroken, ClientGone, Duplex, Later
from littoral.gateway.field_block import FieldBlock, Fields
from littoral.gateway.notes import Notes
from littoral.wire.http_fields import BODILESS
from littoral.wire.problem import problem_response

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class WebExchange(ABC):
    """See gateway.exchange.Exchange. Those of a version say how the answer is written."""

    # What most requests do not change stands here, so that it is not written for each.
    method: str
    target: str
    host: str
    scheme: str
    version: str
    client: str
    tls = ""
    fields: Fields
    has_body = False
    body_length: int | None = None
    begun = False
    """Whether anything of the answer was sent."""
    complete = False
    """Whether nothing is to be sent any more."""
    lost = False
    """Whether nobody reads the answer."""
    switched = False
    """Whether another protocol is spoken in its place."""
    notes: Notes | None = None
    sent_bytes = 0
    made_s = 0.0
    _left: int | None = None
    """Of the announced length: what is still to be sent."""
    _is_bodiless = False
    """Whether the pieces of the body are not sent: HEAD, 204, 304."""
    _incoming: IncomingBytes | None = None
    _task: "asyncio.Task[None] | Later | None" = None
    _when_gone: tuple[Callable[[], None], ...] = ()
    _listener: WebHost

    def start(self) -> None:
        """Have it answered."""
        try:
            waiting = self._listener.serve(self)
        except Exception as error:  # noqa: BLE001 -- the boundary of a request: whatever it is, it is logged and answered
            self._failed(error)
            return
        if isinstance(waiting, Later):
            self._task = waiting
        elif waiting is not None:
            self.go_on(waiting)
        elif not self.complete:
            self._failed(RuntimeError("a request was not answered"))

    def go_on(self, answering: Answering) -> None:
        """See Exchange."""
        self._task = task = self._listener.run(answering)
        task.add_done_callback(self._done)

    def lose(self) -> None:
        """The client has gone, or does not hear what it would be answered."""
        if self.lost:
            return
        was_complete, self.complete, self.lost = self.complete, True, True
        if self._incoming is not None:
            self._incoming.fail(ClientGone("the client has gone"))
            if self._task is None:
                self._incoming.drop(ClientGone("the client has gone"))
        if not was_complete:
            self._let_go()

    def _let_go(self) -> None:
        """Tell who answers that nobody hears it, and end it: what waits for the next piece of an answer, for example, may wait
        for ever. What may change something goes on until it has begun to answer; who speaks another protocol hears of it
        there."""
        calls, self._when_gone = self._when_gone, ()
        for call in calls:
            self._call(call)
        task = self._task
        is_wanted = self.switched or not (self.begun or self.method in _SAFE)
        if task is not None and not is_wanted and task is not asyncio.current_task():
            task.cancel()

    def answered(self) -> None:
        """All is sent. Who still reads the body is to stop."""
        self.begun = self.complete = True
        self._when_gone = ()
        if self._incoming is not None:
            self._incoming.drop(BodyBroken("the request has been answered"))

    # The exchange

    async def body(self) -> AsyncIterator[bytes]:
        """See Exchange."""
        if self._incoming is not None:
            while piece := await self._incoming.read():
                yield piece

    def when_gone(self, call: Callable[[], None]) -> None:
        """See Exchange."""
        if self.lost:
            self._call(call)
        elif not self.complete:
            self._when_gone = (*self._when_gone, call)

    @abstractmethod
    def inform(self, status: int, fields: Fields) -> None:
        """See Exchange."""

    @abstractmethod
    def respond(self, status: int, block: FieldBlock, extra: Fields, body: bytes) -> None:
        """See Exchange."""

    @abstractmethod
    async def begin(self, status: int, block: FieldBlock, extra: Fields) -> None:
        """See Exchange."""

    @abstractmethod
    async def send(self, piece: bytes | memoryview) -> None:
        """See Exchange."""

    @abstractmethod
    async def end(self, trailers: Fields = ()) -> None:
        """See Exchange."""

    @abstractmethod
    def switch(self, status: int, fields: Fields) -> Duplex:
        """See Exchange."""

    @abstractmethod
    def abort(self) -> None:
        """See Exchange."""

    # The length of the answer

    def _announce(self, status: int, fields: Fields) -> str | None:
        """An answer in pieces begins. Returns the content-length that its head says; None for none."""
        assert not self.begun, "an answer begins once"
        self._left = length_of(fields)
        self._is_bodiless = self.method == "HEAD" or status in BODILESS
        self.begun = True
        return str(self._left) if self._left is not None and status != HTTPStatus.NO_CONTENT else None

    def _counts(self, size: int) -> bool:
        """Whether a piece of the body is sent. Raises ClientGone."""
        if self.lost:
            raise ClientGone("the client has gone")
        assert self.begun, "an answer is begun before it is sent"
        assert not self.complete, "nothing is sent behind an answer's end"
        if self._is_bodiless or not size:
            return False
        if self._left is not None:
            if size > self._left:
                raise self._misfit("more")
            self._left -= size
        self.sent_bytes += size
        return True

    def _check_whole(self) -> None:
        """Raises ClientGone."""
        if self.lost:
            raise ClientGone("the client has gone")
        assert self.begun, "an answer is begun before it ends"
        if self._left and not self._is_bodiless:
            raise self._misfit("less")

    def _misfit(self, how: str) -> ClientGone:
        """It is cut off, so that the client notices; nothing that follows is to be taken for the answer's rest."""
        error = ValueError(f"the body of an answer is {how} than its content-length")
        self._listener.fault(self.method, self.target, error)
        self.abort()
        return ClientGone(str(error))

    # Ends

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        self._listener.ran(task)
        if self._incoming is not None and self.complete:
            self._incoming.drop(BodyBroken("the request has been answered"))
        if task.cancelled():
            if not self.complete:
                self.abort()
        elif (error := task.exception()) is not None:
            self._failed(error)
        elif not self.complete:
            self._failed(RuntimeError("a request was not answered"))

    def _failed(self, error: BaseException) -> None:
        if self.lost and isinstance(error, (ClientGone, BodyBroken, ConnectionError)):
            return
        response = self._said_of(error)
        if self.begun:
            if not self.complete:
                self.abort()
        else:
            self.respond(response.status, FieldBlock(response.headers), (), response.body)

    def _said_of(self, error: BaseException) -> Response:
        if isinstance(error, LittoralError):
            return problem_response(error)
        fault = error if isinstance(error, Exception) else RuntimeError(repr(error))
        return self._listener.fault(self.method, self.target, fault)

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 -- what one was to be told does not keep others from being told
            self._listener.fault(self.method, self.target, error)


def length_of(fields: Fields) -> int | None:
    """What they say of the body's length. Raises ValueError where that is not one number."""
    said = {value for name, value in fields if name == "content-length"}
    if not said:
        return None
    (text,) = said if len(said) == 1 else ("",)
    if text.isascii() and text.isdecimal():
        with suppress(ValueError):
            return int(text)
    raise ValueError(f"the content-length of the answer is {sorted(said)}")


def length_of_whole(method: str, status: int, fields: Fields, body: bytes) -> str | None:
    """The content-length of an answer that is given whole; None for none."""
    if method != "HEAD" and status not in BODILESS:
        return str(len(body))
    said = [value for name, value in fields if name == "content-length"]
    if said and status != HTTPStatus.NO_CONTENT:
        return said[0]
    return str(len(body)) if body and status not in BODILESS else None
