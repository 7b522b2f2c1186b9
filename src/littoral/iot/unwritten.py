"""What the broker has told its disk and nobody waits for: collected, and written together."""

from collections.abc import Hashable

from littoral.iot.waiting import Waiting
from littoral.store.mqtt_writes import MqttChange, MqttStatement


class Unwritten:
    """One collection. Of a row that changes again, only the last change is kept."""

    __slots__ = ("messages", "rows", "sessions")

    def __init__(self) -> None:
        self.rows: dict[Hashable, MqttChange] = {}
        """By what says which row it is."""
        self.sessions: dict[int, Waiting] = {}
        """Those that are done with more messages."""
        self.messages: list[int] = []
        """Those that nobody waits for."""

    def __bool__(self) -> bool:
        return bool(self.rows or self.sessions or self.messages)

    def add_row(self, key: Hashable, change: MqttChange) -> None:
        """A change of a row; `key` says of which."""
        # Behind what is there: a row that changes again does so after others.
        self.rows.pop(key, None)
        self.rows[key] = change

    def withdraw(self, key: Hashable) -> None:
        """The row is written otherwise."""
        self.rows.pop(key, None)

    def changes(self) -> list[MqttChange]:
        """All of it, as it is now."""
        nexts = {session: waiting.next for session, waiting in self.sessions.items()}
        return [
            *self.rows.values(),
            *((MqttStatement.MOVE_NEXT, (session, following)) for session, following in nexts.items()),
            *(
                (MqttStatement.FORGET_SENT_BEFORE, (session, nexts[session]))
                for session, waiting in self.sessions.items()
                if waiting.has_done_rows
            ),
            *((MqttStatement.DROP_MESSAGES, span) for span in _spans(self.messages)),
        ]

    def take_back(self, failed: "Unwritten") -> None:
        """What could not be written is to be written again, unless what it is of has changed since."""
        self.rows = failed.rows | self.rows
        self.sessions = failed.sessions | self.sessions
        self.messages.extend(failed.messages)


def _spans(numbers: list[int]) -> list[tuple[int, int]]:
    """Numbers as spans [first, next): those that follow each other are deleted together."""
    spans: list[tuple[int, int]] = []
    first = following = -1
    for number in sorted(numbers):
        if number != following:
            if following > first:
                spans.append((first, following))
            first = number
        following = number + 1
    if following > first:
        spans.append((first, following))
    return spans
