"""Answers of origins that are given in the callback that brings them: no task waits for them.

sent at once, and answered whole     given in the callback
sent at once, and anything else      a task goes on with it: pieces, failures, what is to be tried again
no connection is kept                a task asks
"""

from collections.abc import Awaitable

from littoral.gateway.cache.sender import PromptSender, Sent
from littoral.gateway.exchange import Exchange, Later
from littoral.gateway.origins.transport import OriginAnswer, OriginRequest

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def may_be_later(exchange: Exchange) -> bool:
    """Whether a request may be answered so. Others need a task: whose body is to be read, of which notes are taken, where somebody
    waits for what is returned; and what may change something, which goes on after its client has gone: a gateway that stops
    waits for tasks."""
    if exchange.has_body or exchange.notes is not None:
        return False
    return exchange.method in SAFE and exchange.go_on is not None


class OriginLater(Later):
    """One request. Who makes it says what becomes of the answer."""

    __slots__ = ("_sent",)

    _sent: Sent

    def __init__(self, exchange: Exchange, request_id: str) -> None:
        """exchange: `may_be_later`."""
        self.exchange = exchange
        self.request_id = request_id

    def ask(self, sender: PromptSender, request: OriginRequest, key: str) -> "OriginLater | Awaitable[int] | None":
        """What a handler returns; None where nothing was done. Raises LittoralError."""
        sent = sender.begin(request, key, self.exchange.inform, self._come)
        if sent is None:
            return None
        if not sent.is_under_way:
            return self._go_on(sent)
        self._sent = sent
        return self

    def cancel(self) -> None:
        """See Later."""
        self._sent.close()
        self.host.abandon(self)
        self._let_go()

    def _give(self, answer: OriginAnswer) -> int | Awaitable[int]:
        """Give the client a whole answer. Returns the status, or what is left to be done."""
        raise NotImplementedError

    def _go_on(self, sent: Sent) -> Awaitable[int]:
        """Do with what was sent, or not yet, what takes a task. By then nothing is left here."""
        raise NotImplementedError

    def _come(self) -> None:
        """It is known what has become of it."""
        try:
            answer = self._sent.taken()
            given = self._give(answer) if answer is not None else self._go_on(self._sent)
            if isinstance(given, int):
                self.host.settle(self, given)
            else:
                self.host.take_on(self, given)
        except Exception as error:  # noqa: BLE001 -- the boundary of a request: whatever it is, it is answered
            self.host.refuse_later(self, error)
        self._let_go()

    def _let_go(self) -> None:
        # Each of them holds the next: memory that only the garbage collector would find.
        del self.exchange, self._sent
