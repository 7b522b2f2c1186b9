"""Placing apps: their files, their routes, and what happens to one that cannot run."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from littoral.core.errors import StorageFull
from littoral.core.limits import Limits
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


def play(folder: Path, story: Callable[[PlacedApps], None]) -> None:
    async def main() -> None:
        faults: list[BaseException] = []
        (folder / "run").mkdir()
        runtime = FunctionRuntime(folder / "run", Limits(), Credentials(b"k" * 32), faults.append)
        story(PlacedApps(LocalDisk(folder), Limits(), runtime))
        await runtime.stop()
        assert faults == []

    asyncio.run(main())


def routes(apps: PlacedApps) -> dict[str, str]:
    return {route.path: route.app for route in apps.config().routes}


def test_files_are_unpacked_once_into_a_folder_of_their_revision(tmp_path: Path):
    def story(apps: PlacedApps) -> None:
        apps.apply({"shop": app("shop", "/a")})
        main = tmp_path / "apps" / "shop-1" / "main.py"
        assert main.read_bytes() == b"x = 1\n"
        changed = main.stat().st_mtime_ns
        apps.apply({"shop": app("shop", "/a")})
        assert main.stat().st_mtime_ns == changed

    play(tmp_path, story)


def test_what_a_crash_left_half_unpacked_is_unpacked_again(tmp_path: Path):
    def story(apps: PlacedApps) -> None:
        half = tmp_path / "apps" / "shop-1"
        half.mkdir(parents=True)
        (half / "main.py").write_bytes(b"x =")
        apps.apply({"shop": app("shop", "/a")})
        assert (half / "main.py").read_bytes() == b"x = 1\n"

    play(tmp_path, story)


def test_a_revision_that_cannot_run_says_why_and_the_former_goes_on(tmp_path: Path):
    def story(apps: PlacedApps) -> None:
        apps.apply({"shop": app("shop", "/a")})
        apps.apply({"shop": app("shop", "/b", "2", b"damaged")})
        assert routes(apps) == {"/a": "shop"}
        assert "its bundle is damaged" in apps.statuses()["shop"].problem

    play(tmp_path, story)


def test_of_two_apps_with_one_route_the_second_says_so(tmp_path: Path):
    def story(apps: PlacedApps) -> None:
        apps.apply({"a": app("a", "/x"), "b": app("b", "/x")})
        assert routes(apps) == {"/x": "a"}
        assert apps.statuses()["b"].problem

    play(tmp_path, story)


def test_a_former_revision_whose_route_was_taken_meanwhile_does_not_go_on(tmp_path: Path):
    def story(apps: PlacedApps) -> None:
        apps.apply({"z": app("z", "/x")})
        apps.apply({"a": app("a", "/x", "2"), "z": app("z", "/y", "2", b"damaged")})
        assert routes(apps) == {"/x": "a"}
        assert apps.statuses()["z"].problem

    play(tmp_path, story)


def test_a_configuration_that_cannot_be_written_is_said_and_nothing_ends(tmp_path: Path):
    def story(apps: PlacedApps) -> None:
        def full() -> None:
            raise StorageFull("write", "gateway.msgpack", "No space left on device")

        apps.publish = full
        apps.apply({"shop": app("shop", "/a")})
        assert "No space left" in apps.statuses()["shop"].problem

    play(tmp_path, story)


def test_folders_of_revisions_that_nobody_wants_are_deleted(tmp_path: Path):
    def story(apps: PlacedApps) -> None:
        wanted = app("shop", "/a", "2")
        apps.apply({"shop": app("shop", "/a", "1")})
        apps.apply({"shop": wanted})
        prune_revisions(tmp_path, {"App/shop": wanted})
        assert [each.name for each in (tmp_path / "apps").iterdir()] == ["shop-2"]

    play(tmp_path, story)
