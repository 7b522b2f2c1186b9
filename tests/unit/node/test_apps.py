"""Placing apps: their files, their routes, and what happens to one that cannot run."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

import msgspec

from littoral.core.errors import StorageFull, Unavailable
from littoral.core.function_limits import FUNCTION_BODY_BYTES, FUNCTION_WALL_MS
from littoral.core.limits import Limits
from littoral.core.resources import App
from littoral.drivers.disk import LocalDisk
from littoral.fleet.bundles import pack_bundle
from littoral.fleet.desired import Wanted
from littoral.functions.hub.bindings import Credentials
from littoral.functions.hub.runtime import FunctionRuntime
from littoral.functions.messages import PRELOAD, InlineState, WorkerEvent
from littoral.node.app_code import put_aside
from littoral.node.apps import PlacedApps
from littoral.wire.frames import frame


def app(name: str, path: str, revision: str = "1", bundle: bytes | None = None, isolation: str = "process") -> Wanted:
    document = {
        "kind": "App",
        "apiVersion": "littoral/v1",
        "metadata": {"name": name},
        "spec": {"main": "main.py", "routes": [{"path": path}], "isolation": isolation},
    }
    return Wanted(msgspec.convert(document, App), revision, bundle or pack_bundle(name, {"main.py": b"x = 1\n"}))


async def apply(apps: PlacedApps, wanted: Mapping[str, Wanted]) -> None:
    """Apply, and wait until what there is to unpack is unpacked."""
    apps.apply(wanted)
    async with asyncio.timeout(20):
        while apps.code.busy:
            await asyncio.sleep(0.001)


def play(folder: Path, story: Callable[[PlacedApps], Awaitable[None]]) -> None:
    async def main() -> None:
        faults: list[BaseException] = []
        (folder / "run").mkdir()
        runtime = FunctionRuntime(folder / "run", Limits(), Credentials(b"k" * 32), faults.append)
        apps = PlacedApps(LocalDisk(folder), Limits(), runtime, faults.append, ["trusted"])
        await story(apps)
        await apps.stop()
        await runtime.stop()
        assert faults == []

    asyncio.run(main())


def routes(apps: PlacedApps) -> dict[str, str]:
    return {route.path: route.to.removeprefix("app/") for route in apps.config().routes}


def test_files_are_unpacked_once_into_a_folder_of_their_revision(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        await apply(apps, {"shop": app("shop", "/a")})
        main = tmp_path / "apps" / "shop-1" / "main.py"
        assert main.read_bytes() == b"x = 1\n"
        changed = main.stat().st_mtime_ns
        await apply(apps, {"shop": app("shop", "/a")})
        assert main.stat().st_mtime_ns == changed

    play(tmp_path, story)


def test_the_hub_goes_on_while_code_is_unpacked_and_so_does_the_former_revision(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        await apply(apps, {"shop": app("shop", "/a")})
        apps.apply({"shop": app("shop", "/b", "2")})
        assert not (tmp_path / "apps" / "shop-2" / ".complete").exists()
        assert routes(apps) == {"/a": "shop"}
        assert "is being unpacked" in apps.statuses()["shop"].problem
        await apply(apps, {"shop": app("shop", "/b", "2")})
        assert routes(apps) == {"/b": "shop"}

    play(tmp_path, story)


def test_what_a_crash_left_half_unpacked_is_unpacked_again(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        half = tmp_path / "apps" / "shop-1"
        half.mkdir(parents=True)
        (half / "main.py").write_bytes(b"x =")
        await apply(apps, {"shop": app("shop", "/a")})
        assert (half / "main.py").read_bytes() == b"x = 1\n"

    play(tmp_path, story)


def test_a_revision_that_cannot_run_says_why_and_the_former_goes_on(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        await apply(apps, {"shop": app("shop", "/a")})
        await apply(apps, {"shop": app("shop", "/b", "2", b"damaged")})
        assert routes(apps) == {"/a": "shop"}
        assert "its bundle is damaged" in apps.statuses()["shop"].problem

    play(tmp_path, story)


def test_a_name_of_any_length_has_its_sockets(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        long = "x" * 63
        await apply(apps, {"a": app("a", "/a"), long: app(long, "/b")})
        assert routes(apps) == {"/a": "a", "/b": long}
        assert apps.statuses()[long].problem == ""

    play(tmp_path, story)


def test_gateways_are_told_the_nodes_own_limits(tmp_path: Path):
    limits = Limits({"function-body-bytes": 1000, "function-wall-ms": Limits()[FUNCTION_WALL_MS]})
    runtime = FunctionRuntime(tmp_path, limits, Credentials(b"k" * 32), lambda error: None)
    config = PlacedApps(LocalDisk(tmp_path), limits, runtime, lambda error: None).config()
    assert config.limits == {"function-body-bytes": 1000}
    assert Limits(config.limits)[FUNCTION_BODY_BYTES] == 1000


def test_of_two_apps_with_one_route_the_second_says_so(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        await apply(apps, {"a": app("a", "/x"), "b": app("b", "/x")})
        assert routes(apps) == {"/x": "a"}
        assert apps.statuses()["b"].problem

    play(tmp_path, story)


def test_who_is_served_keeps_his_route_from_one_that_comes_later_and_before_him_by_name(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        await apply(apps, {"b": app("b", "/x"), "c": app("c", "/y")})
        await apply(apps, {"a": app("a", "/x"), "b": app("b", "/x", "2"), "c": app("c", "/y")})
        assert routes(apps) == {"/x": "b", "/y": "c"}
        assert "app/b and app/a both claim it" in apps.statuses()["a"].problem
        await apply(apps, {"a": app("a", "/x"), "b": app("b", "/y"), "c": app("c", "/z")})
        assert routes(apps) == {"/x": "a", "/y": "b", "/z": "c"}

    play(tmp_path, story)


def test_a_former_revision_whose_route_was_taken_meanwhile_does_not_go_on(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        await apply(apps, {"z": app("z", "/x")})
        await apply(apps, {"a": app("a", "/x", "2"), "z": app("z", "/y", "2", b"damaged")})
        assert routes(apps) == {"/x": "a"}
        assert apps.statuses()["z"].problem

    play(tmp_path, story)


def test_a_configuration_that_cannot_be_written_is_said_and_nothing_ends(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        def full() -> None:
            raise StorageFull("write", "gateway.msgpack", "No space left on device")

        apps.publish = full
        await apply(apps, {"shop": app("shop", "/a")})
        assert "No space left" in apps.statuses()["shop"].problem

    play(tmp_path, story)


def test_folders_of_revisions_that_nobody_wants_are_deleted(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        wanted = app("shop", "/a", "2")
        await apply(apps, {"shop": app("shop", "/a", "1")})
        await apply(apps, {"shop": wanted})
        put_aside(tmp_path, ["shop"], ["apps/shop-2"], 1)
        assert [each.name for each in (tmp_path / "apps").glob("shop-*")] == ["shop-2"]

    play(tmp_path, story)


def test_the_folder_of_a_revision_whose_packages_are_held_stays(tmp_path: Path):
    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A zygote that holds the packages of the first revision."""
        for known in (WorkerEvent("known", "shop", PRELOAD, "1", 10, "ready"), WorkerEvent("known", "", 0, "", 0)):
            writer.write(frame(msgspec.msgpack.encode(known)))
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    left = asyncio.Event()

    async def main() -> None:
        faults: list[BaseException] = []
        (tmp_path / "run").mkdir()
        runtime = FunctionRuntime(tmp_path / "run", Limits(), Credentials(b"k" * 32), faults.append)
        apps = PlacedApps(LocalDisk(tmp_path), Limits({"app-folders": 1}), runtime, faults.append)
        async with await asyncio.start_unix_server(tell, tmp_path / "run" / "zygote.sock"):
            await apply(apps, {"shop": app("shop", "/a", "1")})
            runtime.start()
            async with asyncio.timeout(20):
                while not runtime.knows_workers:
                    await asyncio.sleep(0.001)
            await apply(apps, {"shop": app("shop", "/a", "2")})
            await apps.stop()
            await runtime.stop()
            await left.wait()
        assert sorted(each.name for each in (tmp_path / "apps").glob("shop-*")) == ["shop-1", "shop-2"]
        assert not faults

    asyncio.run(main())


def test_the_code_of_an_app_that_is_taken_away_stays_until_its_last_worker_has_ended(tmp_path: Path):
    ended, closed = asyncio.Event(), asyncio.Event()

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A zygote with a worker, which drains for as long as the test likes."""
        for known in (WorkerEvent("known", "shop", 0, "1", 10, "ready"), WorkerEvent("known", "", 0, "", 0)):
            writer.write(frame(msgspec.msgpack.encode(known)))
        await ended.wait()
        writer.write(frame(msgspec.msgpack.encode(WorkerEvent("exited", "shop", 0, "1", 10, "exit 0"))))
        await reader.read()
        writer.close()
        await writer.wait_closed()
        closed.set()

    async def main() -> None:
        faults: list[BaseException] = []
        (tmp_path / "run").mkdir()
        runtime = FunctionRuntime(tmp_path / "run", Limits(), Credentials(b"k" * 32), faults.append)
        apps = PlacedApps(LocalDisk(tmp_path), Limits(), runtime, faults.append)
        runtime.left = apps.refresh
        async with await asyncio.start_unix_server(tell, tmp_path / "run" / "zygote.sock"):
            await apply(apps, {"shop": app("shop", "/a")})
            runtime.start()
            async with asyncio.timeout(20):
                while not runtime.knows_workers:
                    await asyncio.sleep(0.001)
                await apply(apps, {})
                assert (tmp_path / "apps" / "shop-1" / "main.py").exists()
                ended.set()
                while (tmp_path / "apps" / "shop-1").exists():
                    await asyncio.sleep(0.001)
            await apps.stop()
            await runtime.stop()
            await closed.wait()
        assert not faults

    asyncio.run(main())


class Secrets:
    """Has what a test says."""

    def __init__(self) -> None:
        self.held: tuple[str, dict[str, str]] | None = None
        self.placed: list[str] = []

    def of(self, app: str) -> tuple[str, dict[str, str]]:
        if self.held is None:
            raise Unavailable("open secrets of", f"app {app}", "their key has not come from the root yet")
        return self.held

    def only(self, apps: Collection[str]) -> None:
        self.placed = list(apps)


def test_an_app_runs_once_its_secrets_are_there_and_its_workers_are_replaced_when_they_change(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        secrets = Secrets()
        apps.secrets = secrets
        wanted = {"shop": app("shop", "/a")}
        await apply(apps, wanted)
        assert routes(apps) == {}
        assert "their key has not come from the root yet" in apps.statuses()["shop"].problem
        revisions = []
        for held in (("", {}), ("0123456789ab", {"TOKEN": "one"}), ("ba9876543210", {"TOKEN": "two"})):
            secrets.held = held
            apps.refresh()
            pool = apps._runtime.pools["shop"]
            assert pool.app.secrets == held[1]
            assert apps.statuses()["shop"].revision == "1", "as it was deployed"
            revisions.append(pool.app.revision)
        assert revisions == ["1", "1+01234567", "1+ba987654"]
        # What runs goes on while a new key is on its way.
        secrets.held = None
        apps.refresh()
        assert routes(apps) == {"/a": "shop"}
        assert (tmp_path / "apps" / "shop-1" / "main.py").exists()
        assert secrets.placed == ["shop"]
        await apply(apps, {})
        assert secrets.placed == []

    play(tmp_path, story)


def test_only_apps_that_the_nodes_own_document_names_run_inline(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        wanted = {
            "trusted": app("trusted", "/a", isolation="inline"),
            "other": app("other", "/b", isolation="inline"),
        }
        await apply(apps, wanted)
        assert {each.app: each.inline for each in apps.config().functions} == {"trusted": "1"}
        assert apps.statuses()["trusted"].isolation == "inline"
        problem = apps.statuses()["other"].problem
        assert "spec.inlineApps" in problem, "it is not run as something else instead, and its status says why"
        assert routes(apps) == {"/a": "trusted"}

    play(tmp_path, story)


def test_an_app_goes_on_as_it_was_where_its_next_revision_may_not_run_inline(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        await apply(apps, {"other": app("other", "/b")})
        await apply(apps, {"other": app("other", "/b", "2", isolation="inline")})
        assert [(each.app, each.inline) for each in apps.config().functions] == [("other", "")]
        status = apps.statuses()["other"]
        assert status.revision == "2"
        assert "spec.inlineApps" in status.problem

    play(tmp_path, story)


def test_the_status_of_an_inline_app_says_what_gateways_say_of_it(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        await apply(apps, {"trusted": app("trusted", "/a", "2", isolation="inline")})
        assert apps.statuses()["trusted"].running == "", "no gateway has said anything yet"
        apps.take_inline(0, {"trusted": InlineState("2")})
        apps.take_inline(1, {"trusted": InlineState("1", "cannot import main.py")})
        status = apps.statuses()["trusted"]
        assert (status.running, status.problem) == ("1", "cannot import main.py"), "one of them is behind"
        apps.take_inline(1, {"trusted": InlineState("2")})
        assert apps.statuses()["trusted"].running == "2"

    play(tmp_path, story)
