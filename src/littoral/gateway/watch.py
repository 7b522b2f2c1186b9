"""What is wanted of the requests of a route, besides their answers."""

from typing import NamedTuple

from littoral.gateway.access_log import LogRule


class Watch(NamedTuple):
    """Why notes are taken."""

    log: LogRule | None
    """What is written of them; None for nothing."""
    shows_timing: bool = False
    """Whether clients are told where the time went."""
