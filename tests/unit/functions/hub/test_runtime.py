"""What a hub that starts makes of the workers that run already."""

import asyncio
from pathlib import Path

import msgspec

from littoral.core.limits import Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.hub.bindings import Credentials
from littoral.functions.hub.runtime import INLINE_SLOT, FunctionRuntime
from littoral.functions.messages import PRELOAD, Command, Drain, Kill, Preload, Start, WorkerEvent, WorkerSpec
from littoral.functions.zygote.preload import THREADS
from littoral.testing.loop import run


def test_a_worker_that_drains_keeps_its_requests_and_not_its_place(tmp_path: Path):
    async def main() -> None:
        told: list[Command] = []
        runtime = FunctionRuntime(tmp_path, Limits(), Credentials(b"k" * 32), lambda error: None)
        runtime._link.send = told.append  # type: ignore[method-assign, assignment]
        runtime.apply([PlacedApp("shop", "r2", "/revision", "main.py")])
        for pid, revision, state in ((10, "r1", "draining"), (11, "r2", "ready"), (12, "r2", "starting")):
            runtime._event(WorkerEvent("known", "shop", 0, revision, pid, state))
        runtime._event(WorkerEvent("known", "", 0, "", 0))
        assert runtime.pools["shop"].pids == [11]
        assert [each.pid for each in told if isinstance(each, Kill)] == [12]
        assert not any(isinstance(each, Start) for each in told)
        await runtime.stop()

    asyncio.run(main())


def test_an_app_that_is_taken_away_has_its_bindings_until_its_last_worker_has_ended(tmp_path: Path):
    async def main() -> None:
        told: list[Command] = []
        left: list[bool] = []
        runtime = FunctionRuntime(tmp_path, Limits(), Credentials(b"k" * 32), lambda error: None)
        runtime._link.send = told.append  # type: ignore[method-assign, assignment]
        runtime.left = lambda: left.append("shop" in runtime.parting)
        app = PlacedApp("shop", "r1", "/revision", "main.py", kv={"KV": "things"})
        runtime.apply([app])
        runtime._event(WorkerEvent("known", "shop", 0, "r1", 10, "ready"))
        runtime._event(WorkerEvent("known", "", 0, "", 0))
        runtime.apply([])
        assert told == [Drain(10)]
        assert (runtime.pools, list(runtime.parting), left) == ({}, ["shop"], [])
        assert runtime.namespaces("shop") == {"things"}
        assert b"shop" in (tmp_path / "egress.msgpack").read_bytes()
        # The hub's connection to the zygote breaks, and is there again.
        runtime._lost()
        runtime._event(WorkerEvent("known", "shop", 0, "r1", 10, "draining"))
        runtime._event(WorkerEvent("known", "", 0, "", 0))
        assert (told, left) == ([Drain(10)], [])
        runtime._event(WorkerEvent("exited", "shop", 0, "r1", 10, "exit 0"))
        assert (dict(runtime.parting), left) == ({}, [False])
        assert runtime.namespaces("shop") == frozenset()
        runtime.apply([])
        assert b"shop" not in (tmp_path / "egress.msgpack").read_bytes()
        await runtime.stop()

    asyncio.run(main())


def test_workers_of_an_app_that_the_hub_never_knew_finish_what_they_have_begun(tmp_path: Path):
    async def main() -> None:
        told: list[Command] = []
        left: list[bool] = []
        runtime = FunctionRuntime(tmp_path, Limits(), Credentials(b"k" * 32), lambda error: None)
        runtime._link.send = told.append  # type: ignore[method-assign, assignment]
        runtime.left = lambda: left.append(True)
        runtime.apply([PlacedApp("shop", "r1", "/revision", "main.py")])
        for app, slot, pid, state in (
            ("gone", 0, 10, "draining"),
            ("gone", 1, 11, "ready"),
            ("gone", 2, 12, "starting"),
            ("shop", 0, 13, "ready"),
            ("shop", 1, 14, "ready"),
        ):
            runtime._event(WorkerEvent("known", app, slot, "r1", pid, state))
        runtime._event(WorkerEvent("known", "", 0, "", 0))
        assert told == [Drain(11), Kill(12), Drain(14)], "the last has no slot any more"
        assert runtime.pools["shop"].pids == [13]
        assert runtime.parting["gone"].revisions >= {"r1"}, "its code stays"
        # What it had bindings for, and where it might send requests, nobody knows any more.
        runtime.apply([PlacedApp("shop", "r1", "/revision", "main.py")])
        assert runtime.namespaces("gone") == frozenset()
        assert b"gone" not in (tmp_path / "egress.msgpack").read_bytes()
        for pid in (10, 11):
            assert not left
            runtime._event(WorkerEvent("exited", "gone", 0, "r1", pid, "exit 0"))
        assert (dict(runtime.parting), left) == ({}, [True])
        await asyncio.sleep(runtime.pools["shop"].last_answer_s)
        assert told[3:] == [Kill(14)], "it has had its time"
        await runtime.stop()

    run(main)


def test_an_inline_app_that_is_taken_away_has_its_bindings_for_as_long_as_gateways_may_answer(tmp_path: Path):
    async def main() -> None:
        left: list[bool] = []
        runtime = FunctionRuntime(tmp_path, Limits(), Credentials(b"k" * 32), lambda error: None)
        runtime._link.send = lambda command: None  # type: ignore[method-assign]
        runtime.left = lambda: left.append("shop" in runtime.parting)
        app = PlacedApp("shop", "r1", "/revision", "main.py", kv={"KV": "things"}, inline=True)
        runtime.apply([app])
        runtime._event(WorkerEvent("known", "", 0, "", 0))
        for comes_back in (True, False):
            runtime.apply([])
            parted = runtime.parting["shop"]
            assert runtime.inline("shop", 0) is None, "no gateway begins anything"
            await asyncio.sleep(parted.last_answer_s - 1)
            assert runtime.namespaces("shop") == {"things"}
            assert parted.revisions >= {"r1"}, "its code stays"
            assert not left
            if comes_back:
                runtime.apply([app])
                await asyncio.sleep(2)
        await asyncio.sleep(2)
        assert (dict(runtime.parting), left) == ({}, [False])
        assert runtime.namespaces("shop") == frozenset()
        runtime.apply([app])
        runtime.apply([])
        await runtime.stop()
        await asyncio.sleep(parted.last_answer_s)
        assert left == [False], "of a hub that has ended nothing is heard"

    run(main)


def test_an_app_that_goes_while_its_environment_is_made_leaves_nothing_behind(tmp_path: Path):
    async def main() -> None:
        told: list[Command] = []
        faults: list[BaseException] = []
        limits = Limits({"function-starts": 1})
        runtime = FunctionRuntime(tmp_path / "run", limits, Credentials(b"k" * 32), faults.append)
        runtime._link.send = told.append  # type: ignore[method-assign, assignment]
        (tmp_path / "python_modules").mkdir()
        (tmp_path / "python_modules" / "heavy.py").touch()
        app = PlacedApp("shop", "r1", str(tmp_path), "main.py")
        runtime.apply([app])
        runtime._event(WorkerEvent("known", "", 0, "", 0))
        runtime._event(WorkerEvent("started", "shop", PRELOAD, "r1", 50))
        runtime.apply([])
        runtime._event(WorkerEvent("failed", "shop", PRELOAD, "r1", 50, f"{THREADS}heavy"))
        runtime._event(WorkerEvent("exited", "shop", PRELOAD, "r1", 50, "exit 3"))
        assert [type(each) for each in told] == [Preload, Kill]
        assert runtime.environments == 0
        runtime.apply([PlacedApp("other", "r1", "/revision", "main.py")])
        assert isinstance(told[-1], Start), "it takes up no place among those that are started"
        await runtime.stop()
        assert not faults

    asyncio.run(main())


def test_an_environment_that_forks_what_it_is_ordered_to_stays(tmp_path: Path):
    async def main() -> None:
        told: list[Command] = []
        runtime = FunctionRuntime(
            tmp_path, Limits({"function-start-ms": 500}), Credentials(b"k" * 32), lambda error: None
        )
        runtime._link.send = told.append  # type: ignore[method-assign, assignment]
        (tmp_path / "python_modules").mkdir()
        (tmp_path / "python_modules" / "heavy.py").touch()
        runtime.apply([PlacedApp("shop", "r1", str(tmp_path), "main.py")])
        runtime._event(WorkerEvent("known", "", 0, "", 0))
        for kind, slot, pid in (("started", PRELOAD, 50), ("ready", PRELOAD, 50), ("started", 0, 51), ("ready", 0, 51)):
            runtime._event(WorkerEvent(kind, "shop", slot, "r1", pid))  # type: ignore[arg-type]
        assert isinstance(told[-1], Start)
        assert told[-1].preloaded
        await asyncio.sleep(5)
        assert not any(isinstance(each, Kill) for each in told)
        await runtime.stop()

    run(main)


def test_gateways_are_told_how_to_run_inline_apps_alone(tmp_path: Path):
    async def main() -> None:
        credentials = Credentials(b"k" * 32)
        runtime = FunctionRuntime(tmp_path, Limits(), credentials, lambda error: None)
        said: list[tuple[str, int, str]] = []
        runtime.log = lambda app, slot, text: said.append((app, slot, text))
        plain = PlacedApp("plain", "r1", "/revision", "main.py")
        runtime.apply([plain, PlacedApp("trusted", "r2", "/revision", "main.py", inline=True)])
        assert runtime.inline("plain", 0) is None
        assert runtime.inline("gone", 0) is None
        given = runtime.inline("trusted", 3)
        assert given is not None
        revision, spec = given
        decoded = msgspec.msgpack.decode(spec, type=WorkerSpec)
        assert (revision, decoded.app) == ("r2", "trusted")
        assert credentials.app(decoded.credential) == "trusted", "its bindings are answered as a worker's are"
        runtime.inline_lines("trusted", 3, "hello")
        runtime.inline_lines("gone", 3, "hello")
        assert said == [("trusted", INLINE_SLOT + 3, "hello")]
        await runtime.stop()

    asyncio.run(main())
