"""Where the messages of one topic go, worked out once and then looked up by the topic's bytes."""

from littoral.core.intake import Fold
from littoral.iot.session import Session
from littoral.wire.mqtt import publish_frame


class Route:
    """A topic's fold and subscribers. Valid until subscriptions or rules change."""

    __slots__ = ("_targets", "_topic", "fold", "name")

    def __init__(self, name: str, fold: Fold | None, targets: dict[Session, int]) -> None:
        self.name = name
        self.fold = fold
        self._topic = name.encode()
        self._targets = tuple(targets.items())

    @property
    def has_targets(self) -> bool:
        """Whether anybody subscribed."""
        return bool(self._targets)

    def take(self, payload: bytes) -> None:
        """A QoS 0 publish of a client: fold it, and send it to the subscribers."""
        if self.fold is not None:
            self.fold(payload)
        self.send(payload, 0)

    def send(self, payload: bytes, qos: int) -> None:
        """Send to the subscribers, each with the lower of the message's and its own QoS."""
        if not self._targets:
            return
        frame = publish_frame(self._topic, payload)
        for session, granted in self._targets:
            if qos and granted:
                session.deliver(self.name, payload, 1)
            else:
                session.deliver_frame(frame)


def ignore(payload: bytes) -> None:
    """The end of a topic that no rule and no subscriber wants."""
