"""The parts of a hub that ask nodes below it, and do what is asked from above, put together."""

from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING

from littoral.core.http import AnyResponse, Request
from littoral.fleet.inbox_folds import AnswerFold, InboxFold
from littoral.node.asking import Asking
from littoral.node.commands import Commands, Warnings
from littoral.node.hub_metrics import inbox_metrics
from littoral.node.inbox import Inbox
from littoral.node.inbox_api import InboxApi
from littoral.store.folder import Folder
from littoral.telemetry.metrics import Family

if TYPE_CHECKING:
    from littoral.node.hub import Hub


class Inboxes:
    """Of one hub."""

    def __init__(self, hub: "Hub") -> None:
        """hub: with its store, registry and uplink made."""
        self._hub = hub
        clock, limits, parent = hub.seams.clock, hub.limits, hub.config.spec.parent
        self.warnings = Warnings(clock)
        self.commands = Commands(
            hub.name, lambda: hub.report.now(), limits, hub.uplink, self.warnings, hub.seams.reload
        )
        self.asking = Asking(hub.store, hub.registry, limits, clock, hub.seams.random, hub.warn)
        self.inbox = Inbox(
            hub.store,
            limits,
            clock,
            parent.requests if parent is not None else "none",
            self._here,
            hub.note_failure,
            hub.seams.fault,
            hub.warn,
        )
        self.api = InboxApi(hub.name, self.asking, hub.registry, limits, clock, self._here)
        self._inbox_fold = InboxFold(hub.name, hub.identity.facts.parent or "", limits)
        self._answer_fold = AnswerFold(hub.name)

    async def _here(self, request: Request) -> AnyResponse:
        return await self._hub.operator_api.answer(request)

    def work(self) -> Iterator[tuple[str, Coroutine[None, None, None]]]:
        """What is to run in the background, by name."""
        hub = self._hub
        wall_ms = hub.seams.clock.wall_ms
        inbox = Folder(hub.store, self._inbox_fold, hub.limits, wall_ms, self.inbox.folded)
        answers = Folder(hub.store, self._answer_fold, hub.limits, wall_ms, self._answers_folded)
        yield "fold inbox", inbox.run()
        yield "fold answers", answers.run()
        yield "inbox", self.inbox.run()
        yield "asked", self.asking.run()

    def _answers_folded(self) -> None:
        self.asking.folded(self._answer_fold.take_found())

    def metrics(self) -> Iterator[Family]:
        """What waits, and what became of what was asked."""
        inbox, expelled = self.inbox, self._hub.registry.expelled_count
        return inbox_metrics(self.asking.waiting, inbox.waiting, inbox.counters, expelled)
