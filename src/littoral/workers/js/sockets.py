"""WebSockets that a function opens, as in JavaScript: `js.WebSocket.new("wss://...")`."""

import re
from collections.abc import Iterable
from typing import Any

from littoral.core.tasks import Tasks
from littoral.workers import web_socket
from littoral.workers.failures import FetchError
from littoral.workers.subrequests import fetch

_SCHEME = re.compile(r"ws(?=s?:)", re.IGNORECASE)


class OpenEvent:
    """It is open."""

    __slots__ = ("type",)

    def __init__(self) -> None:
        self.type = "open"


class WebSocket(web_socket.WebSocket):
    """A WebSocket that opens while its listeners are added: `open` tells of that, `error` and `close` of a failure."""

    @classmethod
    def new(cls, url: Any, protocols: str | Iterable[str] = ()) -> "WebSocket":
        """As JavaScript's constructor."""
        made, others = cls(), web_socket.WebSocket()
        made.other, others.other = others, made
        made.url = str(url)
        wanted = [protocols] if isinstance(protocols, str) else [str(each) for each in protocols]
        _opening.start(made._open(wanted), f"open WebSocket {made.url}")
        return made

    async def _open(self, protocols: list[str]) -> None:
        headers = {"upgrade": "websocket", **({"sec-websocket-protocol": ", ".join(protocols)} if protocols else {})}
        # What becomes of it is given to the listeners from now on.
        self._accepted = True
        try:
            response = await fetch(_SCHEME.sub("http", str(self.url), 1), headers=headers)
            if response.web_socket is None:
                if response.body is not None:
                    await response.body.cancel()
                raise FetchError(f"{self.url} answers with status {response.status}, and opens no WebSocket")
        except Exception as error:  # noqa: BLE001 - listeners are told of it, whatever it is
            self._call("error", web_socket.ErrorEvent(error))
            self.other.end(web_socket.ABNORMAL, str(error), clean=False)
            return
        self._take_over(response.web_socket)

    def _take_over(self, opened: web_socket.WebSocket) -> None:
        """Be the function's end in the place of the one that came with the response, and has been sent nothing yet."""
        self.protocol = opened.protocol
        self.other = opened.other
        opened.other.other = self
        self.accept()
        self._call("open", OpenEvent())


def _failed(error: BaseException) -> None:
    """Listeners were told of what can fail."""
    raise error


_opening = Tasks(_failed)
