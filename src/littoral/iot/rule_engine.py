"""All rules of a node, and the broker's intake in front of them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from littoral.core.errors import LittoralError
from littoral.core.intake import Fold
from littoral.core.limits import Limits
from littoral.core.order import Order
from littoral.core.resources import Rule
from littoral.core.tasks import Tasks
from littoral.iot.readings import append_readings
from littoral.iot.rule_runner import Publish, RuleRunner, forget_rule
from littoral.store.committer import OrderedJob
from littoral.store.store import Store
from littoral.store.transaction import Transaction


class RuleEngine:
    """Implements `littoral.core.intake.Intake`."""

    def __init__(
        self, store: Store, limits: Limits, wall_ms: Callable[[], int], failed: Callable[[BaseException], None]
    ) -> None:
        """failed: told of a rule that ended with an unexpected exception."""
        self._store = store
        self._wall_ms = wall_ms
        self._limits = limits
        self._tasks = Tasks(failed)
        self._publish: Publish = lambda topic, payload: None
        self._routes_changed: Callable[[], None] = lambda: None
        self._running: dict[str, tuple[str, RuleRunner, asyncio.Task[None]]] = {}
        self._forgetting: dict[str, asyncio.Task[None]] = {}
        """Of rules that were withdrawn; one that comes back by the same name begins after it."""
        self.refused: dict[str, str] = {}
        """Rules that cannot run, with the reason."""

    def attach(self, publish: Publish, routes_changed: Callable[[], None]) -> None:
        """The broker in front. publish: for MQTT sinks. routes_changed: told when answers of `route` are no longer
        true."""
        self._publish, self._routes_changed = publish, routes_changed

    @property
    def runners(self) -> Mapping[str, RuleRunner]:
        """The rules that run, by name."""
        return {name: runner for name, (_, runner, _) in self._running.items()}

    def apply(self, wanted: Mapping[str, tuple[Rule, str]]) -> None:
        """Run exactly these rules: name -> (resource, revision). Those already running as wanted are left alone. What a
        withdrawn one remembers is removed."""
        ended: dict[str, asyncio.Task[None]] = {}
        for name, (revision, _, task) in list(self._running.items()):
            if name not in wanted or wanted[name][1] != revision:
                task.cancel()
                ended[name] = task
                del self._running[name]
        for name in (ended.keys() | self.refused.keys()) - wanted.keys():
            self._forget(name, ended.get(name))
        self.refused.clear()
        for name, (resource, revision) in wanted.items():
            if name in self._running:
                continue
            try:
                runner = RuleRunner(self._store, resource, self._publish, self._wall_ms, self._limits)
            except LittoralError as error:
                self.refused[name] = str(error)
                continue
            task = self._tasks.start(runner.run(after=self._forgetting.get(name)), f"rule {name}")
            self._running[name] = (revision, runner, task)
        self._routes_changed()

    def _forget(self, name: str, runner: asyncio.Task[None] | None) -> None:
        after = [task for task in (runner, self._forgetting.get(name)) if task is not None]
        forgetting = self._tasks.start(forget_rule(self._store, name, after), f"forget rule {name}")
        self._forgetting[name] = forgetting

        def done(_: asyncio.Task[None]) -> None:
            if self._forgetting.get(name) is forgetting:
                del self._forgetting[name]

        forgetting.add_done_callback(done)

    def route(self, topic: str) -> Fold | None:
        """See Intake.route."""
        folds = [runner.intake(topic) for _, runner, _ in self._running.values() if runner.wants(topic)]
        if len(folds) <= 1:
            return folds[0] if folds else None

        def fold_all(payload: bytes) -> None:
            for fold in folds:
                fold(payload)

        return fold_all

    def store(self, records: Sequence[bytes], order: Order) -> "asyncio.Future[object]":
        """See Intake.store."""

        def append(tx: Transaction) -> object:
            return append_readings(tx, records)

        return cast("asyncio.Future[object]", self._store.submit(OrderedJob(append, order)))

    async def stop(self) -> None:
        """End all rules."""
        await self._tasks.stop()
        self._running.clear()

    def abandon(self) -> None:
        """As when the process dies: end all rules where they are."""
        self._tasks.abandon()
        self._running.clear()
