"""What gives apps events: see `littoral.node.app_events`."""

from typing import Protocol

from littoral.functions.messages import Answer, EventKind


class EventCaller(Protocol):
    """Gives an app an event."""

    async def __call__(self, app: str, kind: EventKind, subject: str, body: bytes) -> Answer:
        """The app's answer, as soon as one of its workers has handled it. subject: what the log calls it.

        Raises LittoralError: FunctionFailed where the app's code raised and the event does not tell more, TimedOut and
        BadGateway where nobody knows what it did, Unavailable where it got nothing.
        """
        ...
