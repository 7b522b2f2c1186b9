"""Folders of revisions: whole or made anew, shared where they can be, and gone when nobody goes back to them."""

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from littoral.core.errors import LittoralError, Unavailable
from littoral.core.limits import Limits
from littoral.core.resources import App
from littoral.drivers.disk import LocalDisk
from littoral.fleet.bundles import pack_bundle
from littoral.fleet.code_parts import CodePart, pack_part
from littoral.fleet.desired import Wanted
from littoral.node.app_code import AppCode

DOCUMENT = {"kind": "App", "apiVersion": "littoral/v1", "metadata": {"name": "shop"}, "spec": {"main": "main.py"}}
APP = msgspec.convert(DOCUMENT, App)
OWN = pack_part("shop", "own", {"main.py": b"x = 1\n", "data/a.txt": b"a"})
PACKAGES = pack_part("shop", "packages", {"lib/__init__.py": b"y = 2\n"})


class Blobs:
    """A CodeSource that has them."""

    def __init__(self, *parts: tuple[CodePart, bytes]) -> None:
        self.blobs = {part.digest: blob for part, blob in parts}
        self.fetched: list[str] = []
        self.cut = False

    async def fetch(self, part: CodePart) -> None:
        if self.cut:
            raise Unavailable("fetch", "code", "the link is cut")
        self.fetched.append(part.name)

    def have(self, part: CodePart) -> int:
        return 0 if self.cut else part.bytes

    def open(self, part: CodePart) -> io.BytesIO:
        return io.BytesIO(self.blobs[part.digest])


def wanted(revision: str, *parts: tuple[CodePart, bytes], bundle: bytes | None = None) -> Wanted:
    return Wanted(APP, revision, bundle, tuple(part for part, _ in parts))


async def made(code: AppCode, each: Wanted, app: str = "shop") -> Path:
    """Its folder, once it is there."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Unavailable):
                return Path(code.folder(app, each))
            await asyncio.sleep(0.001)


def play(folder: Path, source: Blobs, story: Callable[[AppCode], Awaitable[None]], **limits: int) -> None:
    async def main() -> None:
        faults: list[BaseException] = []
        bounds = Limits({name.replace("_", "-"): value for name, value in limits.items()})
        code = AppCode(LocalDisk(folder), bounds, lambda: None, faults.append)
        code.source = source
        await story(code)
        await code.stop()
        assert faults == []

    asyncio.run(main())


def test_own_files_and_packages_come_together(tmp_path: Path):
    async def story(code: AppCode) -> None:
        folder = await made(code, wanted("1", OWN, PACKAGES))
        assert (folder / "main.py").read_bytes() == b"x = 1\n"
        assert (folder / "data/a.txt").read_bytes() == b"a"
        assert (folder / "python_modules/lib/__init__.py").read_bytes() == b"y = 2\n"
        assert folder == tmp_path / "apps/shop-1"

    play(tmp_path, Blobs(OWN, PACKAGES), story)


def test_packages_are_fetched_and_unpacked_once_for_all_that_have_the_same(tmp_path: Path):
    source = Blobs(PACKAGES)
    bundles = [pack_bundle("shop", {"main.py": f"x = {number}\n".encode()}) for number in range(2)]

    async def story(code: AppCode) -> None:
        first = await made(code, wanted("1", PACKAGES, bundle=bundles[0]))
        second = await made(code, wanted("2", PACKAGES, bundle=bundles[1]))
        other = await made(code, wanted("3", PACKAGES, bundle=bundles[0]), app="other")
        inside = "python_modules/lib/__init__.py"
        assert (first / inside).stat().st_ino == (second / inside).stat().st_ino == (other / inside).stat().st_ino
        assert (second / "main.py").read_bytes() == b"x = 1\n"
        assert source.fetched == ["packages"]

    play(tmp_path, source, story)


def test_code_that_cannot_be_had_just_now_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("littoral.node.app_code.FIRST_RETRY_S", 0.001)
    source = Blobs(OWN)
    source.cut = True

    async def story(code: AppCode) -> None:
        with pytest.raises(Unavailable, match="its code is being fetched: 0 of"):
            code.folder("shop", wanted("1", OWN))
        async with asyncio.timeout(20):
            while "link is cut" not in _said(code, wanted("1", OWN)):
                await asyncio.sleep(0.001)
        source.cut = False
        assert (await made(code, wanted("1", OWN)) / "main.py").is_file()

    play(tmp_path, source, story)


def _said(code: AppCode, each: Wanted) -> str:
    try:
        return code.folder("shop", each)
    except LittoralError as error:
        return str(error)


def test_a_blob_that_is_cut_off_is_refused_and_leaves_nothing_that_is_taken_for_whole(tmp_path: Path):
    source = Blobs(OWN)
    source.blobs[OWN[0].digest] = OWN[1][:-10]

    async def story(code: AppCode) -> None:
        with pytest.raises(LittoralError, match="damaged or cut off"):
            await made(code, wanted("1", OWN))
        assert not (tmp_path / "apps/shop-1/.complete").exists()
        source.blobs[OWN[0].digest] = OWN[1]
        code.try_again()
        assert (await made(code, wanted("1", OWN)) / "data/a.txt").is_file()

    play(tmp_path, source, story)


UNPACKS = """
import asyncio, io, sys, time
from pathlib import Path
import tests.unit.node.test_app_code as here

class Slow(io.BytesIO):
    def read(self, size=-1):
        piece = super().read(64)
        if self.tell() > len(self.getbuffer()) // 2:
            print("half", flush=True)
            time.sleep(600)
        return piece

blobs = here.Blobs(here.large())
blobs.open = lambda part: Slow(blobs.blobs[part.digest])
async def story(code):
    await here.made(code, here.wanted("1", here.large()))
here.play(Path(sys.argv[1]), blobs, story)
"""


def large() -> tuple[CodePart, bytes]:
    noise = {f"file-{number}.bin": os.urandom(0) + bytes(str(number) * 5000, "ascii") for number in range(200)}
    return pack_part("shop", "own", {**noise, "main.py": b"x = 1\n"})


def test_what_kill_9_left_half_unpacked_is_made_anew(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", UNPACKS, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    half = tmp_path / "apps/shop-1"
    assert half.is_dir()
    assert not (half / ".complete").exists()
    (half / "stale.py").write_bytes(b"of nobody")

    async def story(code: AppCode) -> None:
        folder = await made(code, wanted("1", large()))
        assert len(list(folder.glob("file-*.bin"))) == 200
        assert not (folder / "stale.py").exists()

    play(tmp_path, Blobs(large()), story)


def test_the_last_few_revisions_stay_and_so_does_what_runs(tmp_path: Path):
    async def story(code: AppCode) -> None:
        revisions = [wanted(str(number), OWN, PACKAGES) for number in range(5)]
        for each in revisions:
            await made(code, each)
            os.utime(tmp_path / f"apps/shop-{each.revision}/.complete", ns=(int(each.revision), int(each.revision)))
        code.prune({"shop": revisions[4]}, ["apps/shop-0"])
        assert folders(tmp_path) == ["shop-0", "shop-3", "shop-4"]
        # Going back to one makes it the last that was used.
        code.folder("shop", revisions[0])
        code.prune({"shop": revisions[0]})
        assert folders(tmp_path) == ["shop-0", "shop-3", "shop-4"]
        assert len(list((tmp_path / "apps/.packages").iterdir())) == 1
        code.prune({})
        assert folders(tmp_path) == []
        assert list((tmp_path / "apps/.packages").iterdir()) == []

    play(tmp_path, Blobs(OWN, PACKAGES), story, app_folders=3)


def folders(root: Path) -> list[str]:
    return sorted(each.name for each in (root / "apps").glob("[!.]*"))


def test_nothing_is_deleted_while_a_folder_is_being_made(tmp_path: Path):
    source = Blobs(OWN)

    async def story(code: AppCode) -> None:
        await made(code, wanted("1", OWN))
        source.cut = True
        with contextlib.suppress(Unavailable):
            code.folder("shop", wanted("2", OWN))
        code.prune({})
        assert folders(tmp_path) == ["shop-1"]

    play(tmp_path, source, story)


def test_a_node_takes_no_more_than_its_limits(tmp_path: Path):
    async def story(code: AppCode) -> None:
        with pytest.raises(LittoralError, match="at most 100 are allowed here. Raise the node's limit app-code-bytes"):
            await made(code, wanted("1", OWN))
        assert code.source is not None
        assert not (tmp_path / "apps").exists()

    play(tmp_path, Blobs(OWN), story, app_code_bytes=100)


def test_a_node_unpacks_no_more_than_its_limits(tmp_path: Path):
    async def story(code: AppCode) -> None:
        with pytest.raises(LittoralError, match=r"it holds more than 3 bytes \(app-unpacked-bytes\)"):
            await made(code, wanted("1", OWN))

    play(tmp_path, Blobs(OWN), story, app_unpacked_bytes=3)


def test_a_bundle_that_says_it_holds_packages_cannot_write_into_those_of_others(tmp_path: Path):
    mine = pack_bundle("shop", {"main.py": b"", "python_modules/lib/__init__.py": b"evil"})

    async def story(code: AppCode) -> None:
        with pytest.raises(LittoralError, match="is in it twice"):
            await made(code, wanted("1", PACKAGES, bundle=mine))
        folder = await made(code, wanted("2", PACKAGES, bundle=pack_bundle("shop", {"main.py": b""})))
        assert (folder / "python_modules/lib/__init__.py").read_bytes() == b"y = 2\n"

    play(tmp_path, Blobs(PACKAGES), story)
