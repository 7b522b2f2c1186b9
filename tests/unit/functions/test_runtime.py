"""What a hub that starts makes of the workers that run already."""

import asyncio
from pathlib import Path

from littoral.core.limits import Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.bindings import Credentials
from littoral.functions.messages import Command, Kill, Start, WorkerEvent
from littoral.functions.runtime import FunctionRuntime


def test_a_worker_that_drains_keeps_its_requests_and_not_its_place(tmp_path: Path):
    async def main() -> None:
        told: list[Command] = []
        runtime = FunctionRuntime(tmp_path, Limits(), Credentials(b"k" * 32), lambda error: None)
        runtime._link.send = told.append  # type: ignore[method-assign, assignment]
        runtime.apply([PlacedApp("shop", "r2", "/revision", "main.py")])
        for pid, revision, state in ((10, "r1", "draining"), (11, "r2", "ready"), (12, "r2", "starting")):
            runtime._event(WorkerEvent("known", "shop", 0, revision, pid, state))
        runtime._event(WorkerEvent("known", "gone", 0, "r1", 13, "draining"))
        runtime._event(WorkerEvent("known", "", 0, "", 0))
        assert runtime.pools["shop"].pids == [11]
        assert [each.pid for each in told if isinstance(each, Kill)] == [12, 13]
        assert not any(isinstance(each, Start) for each in told)
        await runtime.stop()

    asyncio.run(main())
