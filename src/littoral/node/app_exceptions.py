"""What the code of a node's apps raised, grouped by what and where: kept in memory, within bounds. A hub that starts anew begins
with nothing; the node's log has all of it."""

from collections.abc import Collection
from typing import Any

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput
from littoral.core.function_limits import APP_EXCEPTION_GROUPS
from littoral.core.limits import Limits
from littoral.core.undecodable import UNDECODABLE
from littoral.functions.messages import BindingCall
from littoral.functions.worker.exceptions import KINDS_MOST, TEXT_CHARACTERS, TRACE_CHARACTERS, Raised
from littoral.node.app_messages import ExceptionPage, RaisedGroup

NAME_CHARACTERS = 200


def _brief(raised: Raised) -> Raised:
    """A worker is not trusted to be."""
    return Raised(
        raised.type[:NAME_CHARACTERS],
        raised.place[:TEXT_CHARACTERS],
        raised.message[:TEXT_CHARACTERS],
        raised.subject[:TEXT_CHARACTERS],
        raised.request_id[:NAME_CHARACTERS],
        raised.trace[-TRACE_CHARACTERS:],
        max(1, raised.count),
    )


_Key = tuple[str, str, str]


class _Kept:
    def __init__(self) -> None:
        self.groups: dict[_Key, RaisedGroup] = {}
        """The one that came last is the last."""
        self.forgotten = 0


class AppExceptions:
    """Implements `littoral.functions.hub.bindings.BindingHandler`: workers tell what was raised."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._since_ms = clock.wall_ms()
        self._apps: dict[str, _Kept] = {}

    async def __call__(self, app: str, call: BindingCall) -> Any:
        """Take what a worker tells. Raises InvalidInput for what no worker of ours tells."""
        try:
            told = msgspec.convert(call.arguments, list[Raised])
        except UNDECODABLE as error:
            raise InvalidInput("tell of exception", app, str(error)) from error
        for raised in told[:KINDS_MOST]:
            self.note(app, call.namespace[:NAME_CHARACTERS], _brief(raised))
        return None

    def note(self, app: str, revision: str, raised: Raised) -> None:
        """Something was raised, as often as it says."""
        kept = self._apps.setdefault(app, _Kept())
        now_ms = self._clock.wall_ms()
        key = (raised.type, raised.place, revision)
        known = kept.groups.pop(key, None)
        kept.groups[key] = RaisedGroup(
            type=raised.type,
            place=raised.place,
            revision=revision,
            count=raised.count + (known.count if known is not None else 0),
            first_ms=known.first_ms if known is not None else now_ms,
            last_ms=now_ms,
            message=raised.message,
            request_id=raised.request_id,
            subject=raised.subject,
            trace=raised.trace,
        )
        while len(kept.groups) > self._limits[APP_EXCEPTION_GROUPS]:
            self._limits.hit(APP_EXCEPTION_GROUPS)
            kept.forgotten += kept.groups.pop(next(iter(kept.groups))).count

    def page(self, app: str) -> ExceptionPage:
        """What an app has raised."""
        kept = self._apps.get(app) or _Kept()
        return ExceptionPage(self._since_ms, list(reversed(kept.groups.values())), kept.forgotten)

    def keep(self, apps: Collection[str]) -> None:
        """Forget all others."""
        for app in self._apps.keys() - apps:
            del self._apps[app]
