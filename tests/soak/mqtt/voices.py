"""Who publishes in a run, what the broker took over of it, and what came to those who listen. All is numbered, and so told apart."""

from dataclasses import dataclass, field

from littoral.wire import mqtt


@dataclass(slots=True)
class Voice:
    """A publisher, or the wills of a client: no number of it comes twice, so each message is known again."""

    name: str
    is_wills: bool = False
    """Whether the same may come twice at QoS 2, and in any order: wills that are published in the moment of a crash may."""
    promised: bytearray = field(default_factory=bytearray)
    """By number: 1 where the broker has taken it over."""
    settled: int = 0
    """What has a smaller number has come to all who are owed it."""

    @property
    def said(self) -> int:
        """How many messages so far."""
        return len(self.promised)

    def say(self, padding: bytes = b"") -> bytes:
        """The payload of the next one."""
        self.promised.append(0)
        return b"%s %d %s" % (self.name.encode(), self.said - 1, padding)

    def settle(self) -> None:
        """All that was promised has come. The last of the wills is that of a connection which is there still."""
        self.settled = self.said - self.is_wills


def said_by(payload: bytes) -> tuple[str, int]:
    """Whose message it is, and its number."""
    name, number, _ = payload.split(b" ", 2)
    return name.decode(), int(number)


class Heard:
    """What came to one subscriber; or to the members of a shared subscription, between them."""

    def __init__(self, name: str, owed: list[Voice], *others: Voice, in_order: bool = True) -> None:
        """owed: whose messages have to come, all of them. others: whose messages may. in_order: as they were published, those of one
        voice and topic, which has one QoS [MQTT-4.6.0-6]; members of a shared subscription have messages passed on to them."""
        self.name = name
        self.owed = owed
        self.count = 0
        self.wrong: list[str] = []
        """What should not have come."""
        self._in_order = in_order
        self._voices = {voice.name: voice for voice in (*owed, *others)}
        self._came = {name: bytearray() for name in self._voices}
        self._last: dict[tuple[str, str], int] = {}

    def take(self, packet: mqtt.Publish) -> None:
        """A message that an application gets: of QoS 2, each identifier once until its PUBREL."""
        self.count += 1
        name, number = said_by(packet.payload)
        voice = self._voices.get(name)
        if voice is None or number >= voice.said:
            self.wrong.append(f"{self.name} got {name} {number} on {packet.topic}, which nobody said to it")
            return
        came = self._came[name]
        came.extend(bytes(voice.said - len(came)))
        if came[number]:
            if packet.qos == 2 and not voice.is_wills:
                self.wrong.append(f"{self.name} got {name} {number} on {packet.topic} twice at QoS 2")
            return
        came[number] = 1
        kind = name, packet.topic
        if self._in_order and not voice.is_wills and number < self._last.get(kind, -1):
            self.wrong.append(f"{self.name} got {name} {number} on {packet.topic} after {self._last[kind]}")
        self._last[kind] = number

    def missing(self) -> list[str]:
        """What was acknowledged and has not come."""
        found = []
        for voice in self.owed:
            came = self._came[voice.name]
            numbers = range(voice.settled, voice.said)
            lost = [n for n in numbers if voice.promised[n] and (n >= len(came) or not came[n])]
            found += [f"{voice.name} {n} was acknowledged, and has not come to {self.name}" for n in lost]
        return found


@dataclass(slots=True)
class Retained:
    """Topics whose messages are retained, each with one voice."""

    numbers: dict[str, int] = field(default_factory=dict)
    """Topic -> the newest message that the broker has taken over."""

    def promise(self, topic: str, number: int) -> None:
        """It is taken over."""
        self.numbers[topic] = max(number, self.numbers.get(topic, -1))
