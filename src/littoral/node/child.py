"""One of a node's processes, as its supervisor sees it."""

import socket
import subprocess
from dataclasses import dataclass, field

FIRST_DELAY_S = 0.05
NEVER_S = float("inf")


@dataclass(slots=True)
class Child:
    """One process to keep running."""

    name: str
    command: list[str]
    sockets: list[socket.socket] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    started_s: float = 0.0
    due_s: float = 0.0
    """When to start it next; meaningful while there is no process."""
    delay_s: float = FIRST_DELAY_S
    is_on_demand: bool = False
    """Whether it runs only when somebody wants it, and ends when nobody does."""
