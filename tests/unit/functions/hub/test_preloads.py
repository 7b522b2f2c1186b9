"""Environments: when one is made, and when it ends. `>>` what the zygote reports is played by the test."""

import asyncio
from pathlib import Path

from littoral.core.limits import Limits
from littoral.functions.hub.preloads import Key, Preloads
from littoral.functions.messages import PRELOAD, Command, Kill, Preload, WorkerEvent
from littoral.functions.zygote.preload import THREADS
from littoral.testing.loop import run


class Stage:
    """Environments, what the zygote was told, and which workers started how."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.told: list[str] = []
        self.started: list[bool] = []
        (folder / "python_modules" / "heavy").mkdir(parents=True)
        (folder / "python_modules" / "heavy" / "__init__.py").touch()
        self.directory = str(folder)
        values = {name.replace("_", "-"): value for name, value in limits.items()}
        self.preloads = Preloads(Limits(values), self._told, self._spec)

    def _told(self, command: Command) -> None:
        assert isinstance(command, Kill | Preload)
        self.told.append(
            f"kill {command.pid}" if isinstance(command, Kill) else f"{command.app} {command.spec.decode()}".rstrip()
        )

    def _spec(self, app: str, directory: str, skipped: frozenset[str]) -> bytes:
        return " ".join(sorted(skipped)).encode()

    def use(self, app: str, revision: str = "r1") -> None:
        self.preloads.use((app, revision), self.directory, self.started.append)

    def report(self, app: str, kind: str, pid: int, detail: str = "", revision: str = "r1") -> None:
        self.preloads.event(WorkerEvent(kind, app, PRELOAD, revision, pid, detail))  # type: ignore[arg-type]

    def ready(self, app: str, pid: int) -> None:
        self.report(app, "started", pid)
        self.report(app, "ready", pid)


def nothing(key: Key) -> bool:
    return False


def everything(key: Key) -> bool:
    return True


def test_workers_wait_for_their_environment_and_others_for_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(tmp_path)
        stage.preloads.use(("plain", "r1"), str(tmp_path / "nowhere"), stage.started.append)
        assert (stage.started, stage.told) == ([False], [])
        stage.use("shop")
        stage.use("shop")
        assert (stage.started, stage.told) == ([False], ["shop"])
        stage.ready("shop", 10)
        stage.use("shop")
        assert (stage.started, stage.told) == ([False, True, True, True], ["shop"])

    run(scenario)


def test_whether_a_revision_has_packages_is_looked_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(tmp_path)
        nowhere = str(tmp_path / "nowhere")
        stage.preloads.use(("shop", "r1"), nowhere, stage.started.append)
        stage.use("shop")
        assert (stage.started, stage.told) == ([False, False], []), "code of a revision never changes"
        stage.use("shop", "r2")
        assert (stage.started, stage.told) == ([False, False], ["shop"])
        stage.preloads.use(("cart", "r1"), nowhere, stage.started.append)
        stage.preloads.forget_app("cart")
        stage.use("cart")
        assert stage.told == ["shop", "cart"], "nothing is known of an app that was gone"

    run(scenario)


def test_what_starts_threads_is_left_out_and_what_cannot_be_is_done_without(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(tmp_path)
        stage.use("shop")
        for pid, package in enumerate(("a", "b"), 10):
            stage.report("shop", "started", pid)
            stage.report("shop", "failed", pid, THREADS + package)
            stage.report("shop", "exited", pid, "exit 3")
        assert stage.told == ["shop", "kill 10", "shop a", "kill 11", "shop a b"]
        assert stage.started == []
        stage.report("shop", "started", 12)
        stage.report("shop", "exited", 12, "signal 11")
        assert stage.started == [False]
        stage.use("shop")
        assert stage.started == [False, False], "it is not tried again and again"
        assert stage.preloads.failure("shop", "r1") == "signal 11"
        stage.preloads.shrink(nothing, nothing)
        stage.use("shop")
        assert stage.told[-1] == "shop", "what was found out of a revision that is gone is forgotten"
        stage.preloads.forget()

    run(scenario)


def test_an_import_that_does_not_end_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(tmp_path, function_start_ms=500)
        stage.use("shop")
        stage.report("shop", "started", 10)
        await asyncio.sleep(0.6)
        assert stage.told == ["shop", "kill 10"]
        stage.report("shop", "exited", 10, "signal 9")
        assert stage.started == [False]
        assert stage.preloads.failure("shop", "r1") == "the import did not end within 500 ms"

    run(scenario)


def test_one_that_forks_no_worker_ends_and_is_done_without(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(tmp_path, function_start_ms=500)
        stage.use("shop")
        stage.ready("shop", 10)
        for _ in range(3):
            stage.use("shop")
            stage.preloads.forked(("shop", "r1"))
            await asyncio.sleep(0.4)
        assert stage.told == ["shop"], "each of its workers has its time"
        await asyncio.sleep(0.2)
        assert stage.told == ["shop", "kill 10"], "one of the four has had it"
        stage.report("shop", "exited", 10, "signal 9")
        assert stage.preloads.failure("shop", "r1") == "it forked no worker within 500 ms"
        stage.use("shop")
        assert (stage.started, stage.told) == ([True] * 4 + [False], ["shop", "kill 10"])
        await asyncio.sleep(1)

    run(scenario)


def test_one_that_forks_nothing_at_all_has_no_more_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(tmp_path, function_start_ms=500)
        stage.preloads.adopt(("shop", "r1"), 10)
        await asyncio.sleep(1)
        stage.use("shop")
        await asyncio.sleep(0.6)
        assert stage.told == ["kill 10"]
        stage.preloads.forget()

    run(scenario)


def test_one_that_has_forked_all_it_was_ordered_to_may_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(tmp_path, function_start_ms=500)
        stage.use("shop")
        stage.ready("shop", 10)
        stage.preloads.forked(("shop", "r1"))
        await asyncio.sleep(2)
        stage.use("shop")
        stage.report("shop", "exited", 10, "signal 9")
        await asyncio.sleep(2)
        assert (stage.told, stage.preloads.failure("shop", "r1")) == (["shop"], "")

    run(scenario)


def test_those_of_an_app_that_is_gone_end_and_start_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(tmp_path)
        for pid, app in enumerate(("shop", "bank"), 10):
            stage.use(app)
            stage.report(app, "started", pid)
        stage.preloads.forget_app("shop")
        assert (stage.started, stage.told) == ([], ["shop", "bank", "kill 10"])
        stage.report("shop", "failed", 10, THREADS + "heavy")
        stage.report("shop", "exited", 10, "exit 3")
        assert (stage.started, stage.told[3:], stage.preloads.count) == ([], [], 1)
        stage.preloads.forget()

    run(scenario)


def test_those_nobody_needs_end_after_a_while_and_the_least_used_for_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(tmp_path, function_environments=2, function_environment_idle_seconds=60)
        for pid, app in enumerate(("a", "b", "c"), 10):
            stage.use(app)
            stage.ready(app, pid)
            stage.preloads.forked((app, "r1"))
            await asyncio.sleep(10)
        assert stage.told == ["a", "b", "kill 10", "c"]
        for _ in range(5):
            stage.preloads.shrink(lambda key: key[0] == "b", everything)
            await asyncio.sleep(20)
        stage.preloads.shrink(nothing, everything)
        assert stage.told[4:] == ["kill 12"], "no worker of it ran for so long"
        assert stage.preloads.count == 1
        stage.preloads.forget()

    run(scenario)


def test_that_of_the_former_revision_stays_for_a_while_and_none_of_those_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(tmp_path, function_rollback_seconds=60)
        for pid, revision in enumerate(("r1", "r2", "r3"), 10):
            stage.use("shop", revision)
            stage.report("shop", "started", pid, revision=revision)
            stage.report("shop", "ready", pid, revision=revision)
            stage.preloads.forked(("shop", revision))
            await asyncio.sleep(1)

        def is_third(key: Key) -> bool:
            return key == ("shop", "r3")

        stage.preloads.shrink(is_third, is_third)
        assert stage.told[3:] == ["kill 10"]
        assert set(stage.preloads.revisions) == {("shop", "r2"), ("shop", "r3")}
        await asyncio.sleep(30)
        stage.preloads.shrink(is_third, is_third)
        stage.use("shop", "r2")
        stage.preloads.forked(("shop", "r2"))
        assert (stage.told[4:], stage.started[-1]) == ([], True), "it is there when the app is taken back to it"
        await asyncio.sleep(60)
        stage.preloads.shrink(is_third, is_third)
        assert stage.told[4:] == ["kill 11"]
        stage.preloads.forget()

    run(scenario)


def test_one_there_is_already_is_taken_over_and_one_nobody_ordered_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        stage = Stage(tmp_path)
        stage.preloads.adopt(("shop", "r1"), 10)
        stage.use("shop")
        assert (stage.started, stage.told) == ([True], [])
        stage.report("other", "started", 11)
        assert stage.told == ["kill 11"]
        stage.report("shop", "exited", 10, "signal 9")
        stage.use("shop")
        assert stage.told == ["kill 11", "shop"], "it is made again when it is needed"
        stage.preloads.forget()

    run(scenario)
