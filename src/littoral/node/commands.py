"""Commands: what a node can be told to do that is no resource of its operator API.

POST /v1/commands {"command": NAME}

    diagnose   status, limits that are not the defaults or were reached, the last warnings: what support asks for
    greet      begin the session with the parent anew
    reload     replace the gateway processes one after another, and cut nobody off
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import Conflict, InvalidInput
from littoral.core.http import Request, Response
from littoral.core.limits import Limits
from littoral.core.undecodable import UNDECODABLE
from littoral.node.status import NodeStatus
from littoral.streams.uplink import Uplink
from littoral.wire.answers import json_answer

Command = Literal["diagnose", "greet", "reload"]
HARMLESS: tuple[Command, ...] = ("diagnose", "greet")
"""Those that change nothing that is kept: a node lets others give them where it lets them read."""
WARNINGS_KEPT = 100


class CommandOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/commands."""

    command: Command


class Warned(msgspec.Struct, frozen=True):
    """A warning of the node's."""

    at_ms: int
    text: str


class Warnings:
    """The last warnings, as they are in the log."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last: deque[Warned] = deque(maxlen=WARNINGS_KEPT)

    def note(self, text: str) -> None:
        """There is another one."""
        self.last.append(Warned(self._clock.wall_ms(), text))


class Diagnosis(msgspec.Struct, frozen=True):
    """Answer of `diagnose`."""

    status: NodeStatus
    limits: dict[str, int]
    """That are not the defaults."""
    limits_reached: dict[str, int]
    """How often, since the hub started."""
    warnings: list[Warned]
    """The last ones, the oldest first."""


class Greeted(msgspec.Struct, frozen=True):
    """Answer of `greet`."""

    sessions: int
    """Begun before."""


class Reloading(msgspec.Struct, frozen=True):
    """Answer of `reload`."""

    reloading: str = "gateways"
    """The node's log says when each was replaced."""


class Commands:
    """Of one node."""

    def __init__(
        self,
        node: str,
        status: Callable[[], NodeStatus],
        limits: Limits,
        uplink: Uplink | None,
        warnings: Warnings,
        reload: Callable[[], None],
    ) -> None:
        """uplink: None at the root. reload: has the gateways replaced."""
        self._node = node
        self._status = status
        self._limits = limits
        self._uplink = uplink
        self._warnings = warnings
        self._reload_gateways = reload
        self._table: Mapping[Command, Callable[[], object]] = {
            "diagnose": self._diagnose,
            "greet": self._greet,
            "reload": self._reload,
        }

    def handle(self, request: Request) -> Response:
        """Answer POST /v1/commands. Raises InvalidInput, Conflict."""
        try:
            order = msgspec.json.decode(request.body, type=CommandOrder)
        except UNDECODABLE as error:
            remedy = f'Send {{"command": "{HARMLESS[0]}"}}; there are {", ".join(self._table)}'
            raise InvalidInput("run command", "", str(error), remedy) from error
        return json_answer(self._table[order.command]())

    def _diagnose(self) -> Diagnosis:
        reached = {name: count for name, count in self._limits.reached.items() if count}
        return Diagnosis(self._status(), self._limits.overrides, reached, list(self._warnings.last))

    def _greet(self) -> Greeted:
        if self._uplink is None:
            raise Conflict("greet the parent of", self._node, "it is the root")
        self._uplink.greet_again()
        return Greeted(self._uplink.state.sessions)

    def _reload(self) -> Reloading:
        self._reload_gateways()
        return Reloading()
