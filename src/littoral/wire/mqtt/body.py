"""Reading the fields of a packet's body (section 1.5 of both versions)."""

from littoral.wire.mqtt import rules
from littoral.wire.mqtt.errors import RemoteProtocolError
from littoral.wire.mqtt.names import text


class Body:
    """Reads from front to back; running out of bytes is the peer's error."""

    __slots__ = ("_data", "level", "position")

    def __init__(self, data: bytes, level: int, position: int = 0) -> None:
        """level: whose rules hold; CONNECT's own level is known only while it is read."""
        self._data = data
        self.level = level
        self.position = position

    @property
    def left(self) -> int:
        """How many bytes were not read yet."""
        return len(self._data) - self.position

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        start = self.position
        if len(self._data) - start < count:
            raise RemoteProtocolError(rules.WHOLE_FIELDS.at(self.level), "a packet ends in the middle of a field")
        self.position = start + count
        return self._data[start : self.position]

    def byte(self) -> int:
        """One byte."""
        position = self.position
        if position >= len(self._data):
            raise RemoteProtocolError(rules.WHOLE_FIELDS.at(self.level), "a packet ends in the middle of a field")
        self.position = position + 1
        return self._data[position]

    def integer(self) -> int:
        """A Two Byte Integer."""
        return int.from_bytes(self.take(2), "big")

    def long_integer(self) -> int:
        """A Four Byte Integer."""
        return int.from_bytes(self.take(4), "big")

    def variable_integer(self) -> int:
        """A Variable Byte Integer."""
        value = self.byte()
        if value < 128:
            return value
        value &= 127
        for shift in (7, 14, 21):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                if not byte:
                    raise RemoteProtocolError(
                        rules.SHORTEST_LENGTH.at(self.level), "a variable byte integer has more bytes than it needs"
                    )
                return value
        raise RemoteProtocolError(rules.LENGTH.at(self.level), "a variable byte integer has more than four bytes")

    def binary(self) -> bytes:
        """Binary data after its length."""
        return self.take(self.integer())

    def string(self, what: str) -> str:
        """A UTF-8 string after its length; `what` names it in errors."""
        return text(self.binary(), what, self.level)

    def packet_id(self) -> int:
        """A packet identifier."""
        value = self.integer()
        if value == 0:
            raise RemoteProtocolError(rules.PACKET_ID.at(self.level), "a packet identifier is 0")
        return value

    def rest(self) -> bytes:
        """Everything that was not read yet."""
        return self.take(self.left)

    def end(self) -> None:
        """Check that everything was read."""
        if self.left:
            raise RemoteProtocolError(
                rules.WHOLE_FIELDS.at(self.level), f"{self.left} bytes follow the end of a packet's content"
            )
