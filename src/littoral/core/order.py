"""Writes of one writer that must not overtake each other, also where one of them fails."""


class Order:
    """Shared by the writes of one writer: once one has failed, none after it is done, or it would take its place.

    Whoever makes the writes sets `failed`, before it begins the next; whoever asked for them begins a new order when it
    asks again.
    """

    __slots__ = ("failed",)

    def __init__(self) -> None:
        self.failed: Exception | None = None
        """Why the first of them failed."""
