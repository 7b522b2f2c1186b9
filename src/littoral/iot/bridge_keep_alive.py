"""When the other broker is to be asked whether it is there, and when it is not (section 3.1.2.10)."""

_SILENCE = 1.5
"""Keep alives without a packet, after which the other side is gone."""
_QUIET = 0.75
"""Keep alives without a packet, after which it is asked: the answer has time to come."""


class BridgeKeepAlive:
    """Of one connection. Times are of the monotonic clock, in seconds."""

    def __init__(self, seconds: int, now_s: float) -> None:
        """seconds: as was agreed; 0 for none."""
        self.seconds = seconds
        self._heard_s = self._sent_s = now_s
        self._is_asked = False

    @property
    def silence_s(self) -> float:
        """How long nothing may come."""
        return self.seconds * _SILENCE

    def heard(self, now_s: float) -> None:
        """Something has come."""
        self._heard_s = now_s
        self._is_asked = False

    def begins_anew(self, now_s: float) -> None:
        """Nothing was read, or is read from now on: that nothing came says nothing."""
        self._heard_s = now_s

    def sent(self, now_s: float) -> None:
        """Something was sent."""
        self._sent_s = now_s

    def is_over(self, now_s: float) -> bool:
        """Whether nothing came for too long."""
        return bool(self.seconds) and now_s - self._heard_s >= self.silence_s

    def asks(self, now_s: float) -> bool:
        """Whether PINGREQ is to be sent; it is then."""
        # What is not read for a while is not heard either, and the other side wants to hear something all the same.
        since_s = self._sent_s if self._is_asked else min(self._heard_s, self._sent_s)
        if not self.seconds or now_s - since_s < self.seconds * _QUIET:
            return False
        self._is_asked = True
        return True
