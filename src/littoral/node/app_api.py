"""The operator API's part for apps.

GET  /v1/apps                                the apps of the tree, how they are at this node, and what is counted of them here
GET  /v1/apps/NAME                           one of them
GET  /v1/apps/NAME/revisions                 what the root can go back to, the newest first
POST /v1/apps/NAME/rollback    {revision}    go back to it, or to the one before; at the root only
POST /v1/apps/NAME/scheduled   {cron}        have it do what it does when a cron trigger is due; answers when that is done
GET  /v1/apps/NAME/errors                    what its code raised at this node, by kind and place
GET  /v1/apps/NAME/logs?after&last&wait      what its workers at this node wrote: from a number on, or the last lines; wait says
                                             how many seconds to wait for some
"""

from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import Conflict, FunctionFailed, InvalidInput, NotFound
from littoral.core.http import Request, Response
from littoral.core.limits import LONG_POLL_S, Limits
from littoral.core.resources import App
from littoral.core.undecodable import UNDECODABLE
from littoral.fleet.app_history import Former, former_record, revisions
from littoral.fleet.desired import DesiredRecord, Wanted, newest, submit_desired
from littoral.functions.event_caller import EventCaller
from littoral.functions.event_messages import scheduled_body
from littoral.node.app_exceptions import AppExceptions
from littoral.node.app_figures import FiguresDesk
from littoral.node.app_logs import LINES_MOST, AppLogs, LogPage
from littoral.node.app_messages import (
    PATH,
    AppEntry,
    ExceptionPage,
    RevisionEntry,
    RollbackOrder,
    RolledBack,
    ScheduledOrder,
)
from littoral.node.claimed_routes import check_claims
from littoral.node.code_source import CodeBlobs
from littoral.node.status import AppStatus
from littoral.store.store import Store
from littoral.wire.answers import json_answer, method_not_allowed
from littoral.wire.query import whole_number

_LOG_QUERY = {"after": 0, "last": 100, "wait": 0}

_decode_record = msgspec.msgpack.Decoder(DesiredRecord).decode


class AppApi:
    """Answers for requests whose path begins with PATH, once the operator is known."""

    def __init__(
        self,
        code: CodeBlobs,
        store: Store,
        wanted: Callable[[], Mapping[str, Wanted]],
        statuses: Callable[[], Mapping[str, AppStatus]],
        logs: AppLogs,
        clock: Clock,
        limits: Limits,
        *,
        is_root: bool,
    ) -> None:
        """wanted: the desired state, by "Kind/name". statuses: of the apps placed here."""
        self._logs = logs
        self._clock = clock
        self.caller: EventCaller | None = None
        """None where no apps run."""
        self._code = code
        self._store = store
        self._wanted = wanted
        self._statuses = statuses
        self.figures: FiguresDesk | None = None
        """Likewise."""
        self.exceptions = AppExceptions(clock, limits)
        self._is_root = is_root

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises LittoralError."""
        name, _, what = request.path.removeprefix(PATH).removeprefix("/").partition("/")
        match (request.method, bool(name), what):
            case ("GET", False, ""):
                return json_answer(await self._list())
            case ("GET", True, ""):
                return json_answer(await self._one(name))
            case ("GET", True, "revisions"):
                return json_answer(self._revisions(name))
            case ("POST", True, "scheduled"):
                return json_answer(await self._run_trigger(name, request.body))
            case ("GET", True, "logs"):
                return json_answer(await self._log(name, request.query))
            case ("GET", True, "errors"):
                return json_answer(self._errors(name))
            case ("POST", True, "rollback"):
                return json_answer(await self._roll_back(name, request.body))
            case (_, True, "revisions" | "rollback" | "errors" | "logs" | "scheduled") | (_, _, ""):
                raise method_not_allowed(request)
        raise NotFound("find", request.path[:120], "the operator API has no such resource")

    async def _list(self) -> list[AppEntry]:
        figures = await self.figures.fresh() if self.figures is not None else {}
        statuses, wanted = self._statuses(), self._wanted()
        found = sorted(key.partition("/")[2] for key in wanted if key.startswith("App/"))
        return [AppEntry(name, wanted[f"App/{name}"].revision, statuses.get(name), figures.get(name)) for name in found]

    async def _one(self, name: str) -> AppEntry:
        found = [each for each in await self._list() if each.name == name]
        if not found:
            raise _unknown(name)
        return found[0]

    async def _log(self, name: str, query: Mapping[str, str]) -> LogPage:
        if f"App/{name}" not in self._wanted():
            raise _unknown(name)
        numbers = {key: whole_number(query, key, "read logs of", name, default) for key, default in _LOG_QUERY.items()}
        after = numbers["after"] if "after" in query else None
        return await self._logs.page(
            name, after, min(numbers["last"], LINES_MOST), min(numbers["wait"], LONG_POLL_S.default)
        )

    def _errors(self, name: str) -> ExceptionPage:
        wanted = self._wanted()
        if f"App/{name}" not in wanted:
            raise _unknown(name)
        self.exceptions.keep({key.removeprefix("App/") for key in wanted if key.startswith("App/")})
        return self.exceptions.page(name)

    async def _run_trigger(self, name: str, body: bytes) -> dict[str, str]:
        try:
            order = msgspec.json.decode(body, type=ScheduledOrder)
        except UNDECODABLE as error:
            raise InvalidInput("run trigger of", name, str(error), 'Send {"cron": "* * * * *"}') from error
        if self.caller is None or name not in self._statuses():
            raise NotFound(
                "run trigger of", name[:80], "the app does not run at this node", "`littoral app list` says where"
            )
        now_ms = self._clock.wall_ms()
        answer = await self.caller(name, "scheduled", f"cron {order.cron}", scheduled_body(order.cron, now_ms))
        if answer.error:
            raise FunctionFailed(
                "run trigger of", name, "its code raised an exception", f"`littoral logs {name}` shows it"
            )
        return {}

    def _revisions(self, name: str) -> list[RevisionEntry]:
        desired = self._desired(name)
        return [
            RevisionEntry(each.revision, each.applied_ms, each.revision == desired, self._code_bytes(each))
            for each in reversed(revisions(self._store, name))
        ]

    def _code_bytes(self, former: Former) -> int:
        """Of a small app the code is in its record, and in no blob."""
        record = _decode_record(former_record(self._store, former.app, former.revision))
        return len(record.bundle or b"") + sum(part.bytes for part in former.code)

    async def _roll_back(self, name: str, body: bytes) -> RolledBack:
        try:
            order = msgspec.json.decode(body or b"{}", type=RollbackOrder)
        except UNDECODABLE as error:
            raise InvalidInput("roll back", name, str(error), 'Send {"revision": "…"}, or nothing') from error
        present = self._desired(name)
        former = _chosen(name, revisions(self._store, name), order.revision, present)
        record = _decode_record(former_record(self._store, name, former.revision))
        self._code.check(record)
        check_claims([record], partial(newest, self._store))
        await self._store.submit(partial(submit_desired, records=[record], revisions_most=self._code.revisions_most))
        return RolledBack(former.revision, present)

    def _desired(self, name: str) -> str:
        """The desired revision. Raises Conflict, NotFound."""
        if not self._is_root:
            cause = "which revisions there were is known at the root"
            raise Conflict("list revisions of", name, cause, "Ask the root")
        wanted = self._wanted().get(f"App/{name}")
        if wanted is None or not isinstance(wanted.resource, App):
            raise _unknown(name)
        return wanted.revision


def _unknown(name: str) -> NotFound:
    return NotFound("find app", name[:80], "the tree has no such app", "`littoral app list` shows those there are")


def _chosen(name: str, kept: list[Former], asked: str, present: str) -> Former:
    """The revision that is meant. Raises NotFound, InvalidInput."""
    others = [each for each in kept if each.revision != present]
    found = [each for each in kept if each.revision.startswith(asked)] if asked else others[-1:]
    if len(found) > 1:
        several = ", ".join(each.revision for each in found)
        raise InvalidInput("roll back", name, f"several revisions begin with {asked!r}", f"Say which: {several}")
    if not found:
        cause = f"no revision {asked!r} is kept" if asked else "it had no other revision"
        there = ", ".join(each.revision for each in reversed(others)) or "none"
        raise NotFound("roll back", name, cause, f"What it can go back to: {there}")
    return found[0]
