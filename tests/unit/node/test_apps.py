"""Placing apps: their files, their routes, and what happens to one that cannot run."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from littoral.core.errors import StorageFull
from littoral.core.limits import FUNCTION_BODY_BYTES, FUNCTION_WALL_MS, Limits
from littoral.core.resources import App
from littoral.drivers.disk import LocalDisk
from littoral.fleet.bundles import pack_bundle
from littoral.fleet.desired import Wanted
from littoral.functions.bindings import Credentials
from littoral.functions.runtime import FunctionRuntime
from littoral.node.apps import PlacedApps, prune_revisions


def app(name: str, path: str, revision: str = "1", bundle: bytes | None = None) -> Wanted:
    document = {
        "kind": "App",
        "apiVersion": "littoral/v1",
        "metadata": {"name": name},
        "spec": {"main": "main.py", "routes": [{"path": path}]},
    }
    return Wanted(msgspec.convert(document, App), revision, bundle or pack_bundle(name, {"main.py": b"x = 1\n"}))


async def apply(apps: PlacedApps, wanted: Mapping[str, Wanted]) -> None:
    """Apply, and wait until what there is to unpack is unpacked."""
    apps.apply(wanted)
    async with asyncio.timeout(20):
        while apps._unpacking:
            await asyncio.sleep(0.001)


def play(folder: Path, story: Callable[[PlacedApps], Awaitable[None]]) -> None:
    async def main() -> None:
        faults: list[BaseException] = []
        (folder / "run").mkdir()
        runtime = FunctionRuntime(folder / "run", Limits(), Credentials(b"k" * 32), faults.append)
        apps = PlacedApps(LocalDisk(folder), Limits(), runtime, faults.append)
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


def test_a_name_that_is_too_long_for_a_socket_is_that_apps_problem(tmp_path: Path):
    async def story(apps: PlacedApps) -> None:
        long = "x" * 63
        await apply(apps, {"a": app("a", "/a"), long: app(long, "/b")})
        assert routes(apps) == {"/a": "a"}
        assert "a Unix socket's path has at most 107 bytes" in apps.statuses()[long].problem

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
        prune_revisions(tmp_path, {"App/shop": wanted})
        assert [each.name for each in (tmp_path / "apps").iterdir()] == ["shop-2"]

    play(tmp_path, story)
