"""A listener as the connections of one client see it that has shown a certificate: its requests are served as that client's."""

from littoral.drivers.web_host import WebBounds, WebHost
from littoral.gateway.exchange import Serve


class PeerHost:
    """Implements `littoral.drivers.web_host.WebHost`."""

    def __init__(self, host: WebHost, serve: Serve) -> None:
        self.serve = serve
        self._host = host
        self.knows_h2c = False
        self.opened = host.opened
        self.closed = host.closed
        self.run = host.run
        self.ran = host.ran
        self.fault = host.fault
        self.refused = host.refused
        self.reached = host.reached
        self.speak_http2 = host.speak_http2

    @property
    def bounds(self) -> WebBounds:
        """See WebHost."""
        return self._host.bounds

    @property
    def date_line(self) -> bytes:
        """See WebHost."""
        return self._host.date_line

    @property
    def now_s(self) -> float:
        """See WebHost."""
        return self._host.now_s

    @property
    def draining(self) -> bool:
        """See WebHost."""
        return self._host.draining
