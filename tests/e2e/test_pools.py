"""Pools of workers and environments, with real processes: what starts when it is asked for, and what is lost meanwhile."""

import asyncio
import os
from collections.abc import Awaitable, Callable

from littoral.core.resources.app_events import AppQueues, QueueProducer
from tests.support.functions_node import FunctionNode, gone, kill9

HELLO = """
import os
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response(f"REVISION {os.getpid()}")
"""
USES_PACKAGES = """
import os
import heavy
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        import threads
        status = open("/proc/self/status").read()
        return Response.json({
            "imported_in": heavy.PROCESS, "threads_in": threads.PROCESS, "here": os.getpid(),
            "user": os.getuid(), "filters": int(status.split("Seccomp_filters:")[1].split()[0]),
            "code": __file__, "leftover": sorted(os.listdir("/proc/self/fd")),
        })
"""
HEAVY = "import os\nPROCESS = os.getpid()\n"
THREADS = "import os, threading, time\nPROCESS = os.getpid()\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"


def run(scenario: Callable[[FunctionNode], Awaitable[None]], **options: object) -> None:
    async def main() -> None:
        async with FunctionNode(**options) as node:  # type: ignore[arg-type]
            await scenario(node)

    asyncio.run(main())


def with_packages(node: FunctionNode, name: str, revision: str = "1", **packages: str) -> None:
    folder = node.home / "apps" / f"{name}-{revision}" / "python_modules"
    for package, code in packages.items():
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(code)


def test_an_app_nobody_asks_for_has_no_worker_and_answers_when_it_is_asked() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("hello", HELLO, idle_s=1)
        (first,) = node.pool("hello").pids
        await node.until(lambda: gone(first))
        await node.until(lambda: (node.pool("hello").ready, node.pool("hello").settled) == (0, True))
        replies = await asyncio.gather(*(node.get("/hello") for _ in range(10)))
        (second,) = {reply.body for reply in replies}
        assert second != b"REVISION %d" % first
        assert {reply.status for reply in replies} == {200}
        assert node.pool("hello").counters.cold == 1
        assert node.pool("hello").counters.ends == {"idle": 1}

    run(scenario)


def test_more_requests_than_a_worker_should_have_start_another() -> None:
    async def scenario(node: FunctionNode) -> None:
        code = HELLO.replace("        return", "        await __import__('asyncio').sleep(0.3)\n        return")
        await node.deploy("hello", code, workers=2)
        assert node.pool("hello").ready == 1
        done = asyncio.gather(*(node.get("/hello") for _ in range(12)))
        await node.until(lambda: node.pool("hello").ready == 2)
        assert {reply.status for reply in await done} == {200}
        seen = {(await node.get("/hello")).body for _ in range(2)}
        more = await asyncio.gather(*(node.get("/hello") for _ in range(4)))
        assert len(seen | {reply.body for reply in more}) == 2, "both answer"

    run(scenario, overrides={"function-busy": 4})


SLOW = "import time\ntime.sleep(1.5)\n" + HELLO


def file_at(path: str) -> int:
    """Which one there is; 0 for none."""
    return os.stat(path).st_ino if os.path.exists(path) else 0


def test_a_worker_is_connected_to_while_it_starts_and_in_the_place_of_another_only_when_it_is_ready() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.place("hello", SLOW.replace("REVISION", "one"))
        (path,) = node.runtime.sockets(node.apps["hello"])
        await node.until(lambda: file_at(path))
        assert not node.pool("hello").ready
        asked = asyncio.ensure_future(node.get("/hello"))
        await node.until(lambda: node.pool("hello").ready)
        serves = file_at(path)
        assert (await asked).body.startswith(b"one ")
        await node.place("hello", SLOW.replace("REVISION", "two"), revision="2")
        await node.until(lambda: node.pool("hello").starting and file_at(f"{path}~"))
        assert file_at(path) == serves
        await node.until(lambda: not node.pool("hello").starting)
        assert file_at(path) not in (0, serves)

    run(scenario)


def test_a_worker_that_fails_to_start_leaves_nothing_to_connect_to() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.place("broken", "1 / 0")
        (path,) = node.runtime.sockets(node.apps["broken"])
        # While the next attempt is under way there is a socket again.
        await node.until(lambda: node.pool("broken").counters.last_failure and not file_at(path))

    run(scenario)


def test_an_app_that_fails_to_start_refuses_at_once_and_says_why() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.place("broken", "raise ValueError('no luck')")
        await node.until(lambda: node.pool("broken").counters.ends["import"] >= 3)
        loop = asyncio.get_running_loop()
        since = loop.time()
        reply = await node.get("/broken")
        assert reply.status == 503
        assert loop.time() - since < 5, "it does not wait as long as requests wait for a worker that may come"
        assert "ValueError: no luck" in node.pool("broken").counters.last_failure

    run(scenario)


def test_packages_are_imported_once_in_a_process_of_the_apps_own() -> None:
    async def scenario(node: FunctionNode) -> None:
        with_packages(node, "first", heavy=HEAVY, threads=THREADS)
        with_packages(node, "second", heavy=HEAVY, threads=THREADS)
        await node.deploy("first", USES_PACKAGES, workers=2, min_workers=2)
        await node.deploy("second", USES_PACKAGES)
        seen = [(await node.get("/first")).json() for _ in range(4)]
        other = (await node.get("/second")).json()
        environment = {each["imported_in"] for each in seen}
        assert len(environment) == 1
        assert not environment & {each["here"] for each in seen}, "it was imported before the worker was forked"
        assert other["imported_in"] not in environment, "another app's packages are imported with that app's rights"
        assert all(each["threads_in"] == each["here"] for each in seen), "what starts threads is imported in the worker"
        assert all(each["filters"] >= 1 for each in seen)
        if os.getuid() == 0:
            assert 0 not in {each["user"] for each in (*seen, other)}
            assert seen[0]["user"] != other["user"]
        (process,) = environment
        os.kill(process, 9)
        await node.until(lambda: gone(process))
        assert (await node.get("/first")).json()["here"] in node.pool("first").pids, "its workers go on without it"

    run(scenario)


def test_an_environment_that_hangs_while_it_learns_holds_up_no_start() -> None:
    # What the app imports when it has prepared something waits for that for ever in the environment, which has no code of the app.
    code = "import sys\nsys.modules['prepared'] = sys\nimport heavy.late\n" + HELLO

    async def scenario(node: FunctionNode) -> None:
        with_packages(node, "hangs", heavy="")
        late = "import sys, time\nwhile 'prepared' not in sys.modules:\n    time.sleep(0.01)\n"
        (node.home / "apps" / "hangs-1" / "python_modules" / "heavy" / "late.py").write_text(late)
        await node.deploy("hangs", code, idle_s=60)
        assert node.runtime.environments == 1
        kill9(node.pool("hangs").pids[0])
        await node.until(lambda: not node.pool("hangs").ready)
        assert (await node.get("/hangs")).status == 200
        assert node.runtime.environments == 0
        await node.deploy("hello", HELLO)
        assert (await node.get("/hello")).status == 200

    run(scenario, overrides={"function-start-ms": 1000, "function-starts": 1})


def test_a_revision_that_runs_gives_way_only_to_one_that_is_ready_and_no_request_is_lost() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("hello", HELLO, idle_s=1)
        statuses: list[int] = []
        done = False

        async def client() -> None:
            while not done:
                reply = await node.get("/hello", method="POST", body=b"x")
                statuses.append(reply.status)

        clients = [asyncio.ensure_future(client()) for _ in range(4)]
        for number in range(5):
            await node.deploy("hello", HELLO.replace("REVISION", f"revision {number}"), revision=f"r{number}", idle_s=1)
        done = True
        await asyncio.gather(*clients)
        assert set(statuses) == {200}
        assert node.pool("hello").counters.ends == {"replaced": 5}
        assert (await node.get("/hello")).body.startswith(b"revision 4 ")

    run(scenario)


def test_many_apps_cost_a_node_nothing_until_they_are_asked_for() -> None:
    async def scenario(node: FunctionNode) -> None:
        for number in range(30):
            node.prepare(f"app{number}", HELLO.replace("REVISION", f"app{number}"))
        node.publish()
        await node.until(lambda: all(node.pool(f"app{number}").counters.starts for number in range(30)))
        await node.until(lambda: sum(pool.ready for pool in node.runtime.pools.values()) <= 5)
        replies = await asyncio.gather(*(node.get(f"/app{number}/") for number in range(30)))
        assert [reply.body.split()[0] for reply in replies] == [f"app{number}".encode() for number in range(30)]

    run(scenario, overrides={"function-warm-workers": 5})


def test_a_hub_that_starts_anew_knows_the_environments_there_are() -> None:
    async def scenario(node: FunctionNode) -> None:
        with_packages(node, "app", heavy=HEAVY, threads=THREADS)
        await node.deploy("app", USES_PACKAGES)
        before = (await node.get("/app")).json()
        await node.stop_hub()
        await node.start_hub()
        await node.until(lambda: node.pool("app").ready == 1)
        assert node.runtime.environments == 1
        assert not gone(before["imported_in"])
        node.pool("app").kill(before["here"], "stopped")
        await node.until(lambda: node.pool("app").pids not in ([], [before["here"]]))
        after = (await node.get("/app")).json()
        assert after["imported_in"] == before["imported_in"]

    run(scenario)


WAITS = """
import asyncio
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        await self.env.KV.put("begun", "yes")
        while await self.env.KV.get("go") is None:
            await asyncio.sleep(0.01)
        await self.env.JOBS.send("done")
        return Response("answered")
"""


def test_an_app_that_is_taken_away_answers_what_it_has_begun() -> None:
    async def scenario(node: FunctionNode) -> None:
        queues = AppQueues(producers=[QueueProducer(binding="JOBS", queue="jobs")])
        await node.deploy("slow", WAITS, kv={"KV": "things"}, queues=queues)
        (pid,) = node.pool("slow").pids
        under_way = asyncio.ensure_future(node.get("/slow"))
        await node.until(lambda: ("things", "begun") in node.kv.values)
        node.apps.clear()
        node.routes.clear()
        node.publish()
        while (await node.get("/slow")).status != 404:
            pass
        assert not gone(pid)
        await node.kv.put("things", "go", b"1")
        reply = await under_way
        assert (reply.status, reply.body) == (200, b"answered"), node.log()
        await node.until(lambda: not node.runtime.parting)
        assert gone(pid)
        assert [each.messages for each in node.events.queues.statuses()] == [1]

    run(scenario)


WAITS_FOR_A_FILE = """
import asyncio, os
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        print("waiting")
        while not os.path.exists("go"):
            await asyncio.sleep(0.01)
        return Response("answered")
"""


def test_what_an_app_that_is_taken_away_has_begun_outlives_the_hub() -> None:
    async def scenario(node: FunctionNode) -> None:
        await node.deploy("slow", WAITS_FOR_A_FILE)
        (pid,) = node.pool("slow").pids
        under_way = asyncio.ensure_future(node.get("/slow"))
        await node.until(lambda: "slow-0: waiting" in node.log())
        node.apps.clear()
        node.routes.clear()
        node.publish()
        while (await node.get("/slow")).status != 404:
            pass
        await node.stop_hub()
        await node.start_hub()
        await node.until(lambda: node.runtime.knows_workers)
        assert node.runtime.parting["slow"].is_leaving
        (node.home / "apps" / "slow-1" / "go").touch()
        reply = await under_way
        assert (reply.status, reply.body) == (200, b"answered"), node.log()
        await node.until(lambda: not node.runtime.parting)
        assert gone(pid)

    run(scenario)
