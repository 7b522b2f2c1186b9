"""Shared subscriptions: several clients that divide the messages of a filter among them (section 4.8.2)."""

from typing import TYPE_CHECKING

from littoral.iot.terms import Grant

if TYPE_CHECKING:
    from littoral.iot.session import Session


class SharedGroup:
    """The members of one share name and filter."""

    __slots__ = ("_members", "filter", "name")

    def __init__(self, name: str, topic_filter: str) -> None:
        self.name = name
        self.filter = topic_filter
        # In the order of their turns: who has had one goes to the end.
        self._members: dict[Session, Grant] = {}

    def __len__(self) -> int:
        return len(self._members)

    def add(self, session: "Session", grant: Grant) -> None:
        """A client joins, or changes its terms."""
        self._members[session] = grant

    def remove(self, session: "Session") -> None:
        """A client leaves."""
        self._members.pop(session, None)

    def pick(self, *, but: "Session | None" = None) -> "tuple[Session, Grant] | None":
        """Whose turn it is: of those that are connected and take messages at once the one that waited longest; else of those
        that are connected; else of those that are kept while they are away. None where there is nobody."""
        connected: Session | None = None
        away: Session | None = None
        for session in self._members:
            if session is but:
                continue
            if session.outbound is None:
                away = away or session
            elif session.deliveries.is_free:
                return self._turn(session)
            else:
                connected = connected or session
        chosen = connected or away
        return None if chosen is None else self._turn(chosen)

    def _turn(self, session: "Session") -> "tuple[Session, Grant]":
        grant = self._members.pop(session)
        self._members[session] = grant
        return session, grant
