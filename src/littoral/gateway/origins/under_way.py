"""What counts as under way at a target until it has ended: an answer that is read, a connection that was switched."""

from collections.abc import Callable

from littoral.gateway.exchange import Duplex
from littoral.gateway.field_block import Fields
from littoral.gateway.origins.transport import OriginAnswer, OriginFailed


class CountedAnswer:
    """Implements `OriginAnswer`; says once when it has ended."""

    def __init__(self, answer: OriginAnswer, ended: Callable[[bool], None]) -> None:
        """ended: is told whether the origin has failed."""
        self._answer = answer
        self._ended: Callable[[bool], None] | None = ended
        self.status = answer.status
        self.fields = answer.fields
        self.version = answer.version
        self.length = answer.length
        self.whole: bytes | None = None
        self.trailers: Fields = ()
        self.personal: Fields = answer.personal
        self.older_s = answer.older_s

    async def read(self) -> bytes:
        """See OriginAnswer."""
        try:
            piece = await self._answer.read()
        except OriginFailed:
            self._end(failed=True)
            raise
        except BaseException:
            self.close()
            raise
        if not piece:
            self.trailers = self._answer.trailers
            self._end(failed=False)
        return piece

    def close(self) -> None:
        """See OriginAnswer."""
        self._answer.close()
        self._end(failed=False)

    def _end(self, *, failed: bool) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(failed)


class CountedDuplex:
    """Implements `Duplex`; says once when it was closed."""

    def __init__(self, duplex: Duplex, ended: Callable[[], None]) -> None:
        self.read = duplex.read
        self.write = duplex.write
        self.end = duplex.end
        self._close = duplex.close
        self._ended: Callable[[], None] | None = ended

    def close(self) -> None:
        """See Duplex."""
        self._close()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()
