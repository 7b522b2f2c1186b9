"""What operators and a node say to each other of apps (`app_api`)."""

from typing import Annotated

import msgspec

from littoral.functions.meters import FunctionMeter, Revisions
from littoral.node.status import AppStatus

PATH = "/v1/apps"


class AppFigures(msgspec.Struct, frozen=True):
    """One app at one node."""

    at_ms: int
    """When the calls had been counted so far, ms since the epoch: the mean of what the gateways say. What lies between two of
    these is a rate."""
    revisions: Revisions
    """What was counted of calls, by the revision that answered them; that of "" of those that had no worker, and of former ones."""
    workers: int = 0
    """That answer calls."""
    starting: int = 0
    starts: int = 0
    """Since the hub started, as are all of these."""
    restarts: int = 0
    cold: int = 0
    """Starts that calls waited for."""
    ends: dict[str, int] = {}
    """By why."""
    memory_bytes: int | None = None
    """Of all workers (PSS: with their shares of what they have in common); None where it is not known."""

    def total(self) -> FunctionMeter:
        """Of all revisions."""
        sum_of_all = FunctionMeter()
        for meter in self.revisions.values():
            sum_of_all.add(meter)
        return sum_of_all


class AppEntry(msgspec.Struct, frozen=True):
    """One line of GET /v1/apps."""

    name: str
    revision: str
    """The desired one."""
    here: AppStatus | None
    """None where it is not placed on this node, or nothing is known of it yet."""
    figures: AppFigures | None = None
    """Likewise."""


class RevisionEntry(msgspec.Struct, frozen=True):
    """One line of GET /v1/apps/NAME/revisions."""

    revision: str
    applied_ms: int
    """When it last became the desired one, ms since the epoch."""
    is_desired: bool
    code_bytes: int
    """Of its code, packed: in its record, or in blobs."""


class RollbackOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/apps/NAME/rollback."""

    revision: str = ""
    """Its name, or as much of its beginning as no other has; empty for the one before the present one."""


class ScheduledOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/apps/NAME/scheduled."""

    cron: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    """What the app is told that was due."""


class RolledBack(msgspec.Struct, frozen=True):
    """Answer of POST /v1/apps/NAME/rollback."""

    revision: str
    before: str


class RaisedGroup(msgspec.Struct, rename="camel"):
    """Exceptions of one type, raised at one place of one revision."""

    type: str
    place: str
    """File, line and function of the innermost frame in the app's own code; empty where there is none."""
    revision: str
    count: int
    first_ms: int
    """When the first came, ms since the epoch."""
    last_ms: int
    message: str
    """Of the last."""
    request_id: str
    """Likewise; empty where it was in no request."""
    subject: str
    """What it was doing, as the log has it."""
    trace: str


class ExceptionPage(msgspec.Struct, frozen=True, rename="camel"):
    """Answer of GET /v1/apps/NAME/errors."""

    since_ms: int
    """When the hub began to count."""
    groups: list[RaisedGroup]
    """The one that came last first."""
    forgotten: int
    """Exceptions of groups that had to leave for others."""
