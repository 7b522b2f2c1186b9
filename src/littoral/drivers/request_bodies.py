"""What the bodies of one listener's requests may take: each by itself, and all together."""

from littoral.core.errors import LimitReached, RequestTimeout, TooLarge
from littoral.core.limit import Limit
from littoral.core.limits import API_BODY_S, API_HELD_BYTES, Limits

_OPERATION = "read body of request"


class HeldBody:
    """Bytes of one request's body that are in memory."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


class RequestBodies:
    """Those of one listener."""

    def __init__(self, limits: Limits, body_limit: Limit) -> None:
        """body_limit: of one request."""
        self._limits = limits
        self._body_limit = body_limit
        self._held_bytes = 0

    @property
    def seconds(self) -> int:
        """How long a request may take to arrive, its head and its body."""
        return self._limits[API_BODY_S]

    def announce(self, path: str, length: str) -> None:
        """A body is about to come, and says how long it is. Raises TooLarge."""
        if length.isdecimal() and int(length) > self._limits[self._body_limit]:
            raise self._too_large(path)

    def hold(self, path: str, size: int, held: HeldBody) -> None:
        """A piece has come. Raises TooLarge, LimitReached."""
        held.size += size
        self._held_bytes += size
        if self._held_bytes > self._limits[API_HELD_BYTES]:
            self._limits.hit(API_HELD_BYTES)
            cause = f"the listener holds more than {self._limits[API_HELD_BYTES]} bytes of requests"
            raise LimitReached(_OPERATION, path, cause, f"Try again later. The limit is {API_HELD_BYTES.name}")
        if held.size > self._limits[self._body_limit]:
            raise self._too_large(path)

    def release(self, held: HeldBody) -> None:
        """The request was answered."""
        self._held_bytes -= held.size
        held.size = 0

    def timed_out(self, path: str) -> RequestTimeout:
        """The request has not come in time."""
        self._limits.hit(API_BODY_S)
        return RequestTimeout("read request", path, f"it did not arrive within {self.seconds} s")

    def _too_large(self, path: str) -> TooLarge:
        self._limits.hit(self._body_limit)
        most = self._limits[self._body_limit]
        return TooLarge(_OPERATION, path, f"it is larger than {most} bytes", f"The limit is {self._body_limit.name}")
