"""From a folder to a revision."""

import io
import shutil
from datetime import date
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from littoral.core.asset_rules import FILE_BYTES
from littoral.core.errors import InvalidInput, InvalidResource, TooLarge
from littoral.core.function_limits import APP_UNPACKED_BYTES
from littoral.core.resources import App
from littoral.fleet.bundles import REMAINS_A_BUNDLE_BYTES, unpack_bundle
from littoral.fleet.code_parts import unpack_part
from littoral.projects import build as build_module
from littoral.projects.build import Built, build
from littoral.projects.target import Target
from tests.support.wheels import make_wheel, only_from

TODAY = date(2026, 5, 1)
TARGET = Target("3.11", "x86_64")
ENTRY = "from workers import Response, WorkerEntrypoint\n\n\nclass Default(WorkerEntrypoint):\n    ...\n"
WRANGLER = '{\n "name": "shop",\n "main": "src/entry.py",\n "compatibility_date": "2025-11-02"\n}\n'
DOCUMENTS = """\
apiVersion: littoral/v1
kind: Namespace
metadata:
  name: visits
---
apiVersion: littoral/v1
kind: App
metadata:
  name: shop
spec:
  source: src
  main: entry.py
"""


def project(folder: Path, **files: str) -> Path:
    content = {"wrangler.jsonc": WRANGLER, "src/entry.py": ENTRY, "src/shop/cart.py": "SIZE = 1\n"}
    for path, text in {**content, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def built(folder: Path, environment: str | None = None) -> Built:
    return build(folder, environment, TARGET, TODAY)


def files_of(result: Built) -> dict[str, bytes]:
    assert result.app.bundle is not None
    return unpack_bundle("shop", result.app.bundle)


def refused(folder: Path) -> str:
    with pytest.raises(InvalidResource) as caught:
        built(folder)
    return caught.value.cause.removeprefix("nothing was built\n")


def test_a_revision_holds_the_modules_below_main_and_the_app(tmp_path: Path):
    result = built(project(tmp_path, **{"tests/test_entry.py": "", "package.json": "{}", "src/page.html": "<p>"}))
    assert set(files_of(result)) == {"src/entry.py", "src/shop/cart.py", "src/page.html"}
    assert result.file.records == [result.app]
    assert result.app.document is not None
    app = msgspec.json.decode(result.app.document, type=App)
    assert (app.metadata.name, app.spec.main, app.spec.source) == ("shop", "src/entry.py", ".")
    assert result.warnings == []


def test_rules_for_assets_are_read_before_a_node_goes_by_them(tmp_path: Path):
    text = WRANGLER.replace("{", '{"assets": {"directory": "./public"},', 1)
    rules = {"wrangler.jsonc": text, "public/_redirects": "/a /b\n/a /c\n", "public/_headers": "/*\n  X-A: b\n"}
    (warning,) = built(project(tmp_path, **rules)).warnings
    assert str(warning) == "public/_redirects:2: a line above is about /a already, and holds"
    (tmp_path / "public/_redirects").write_text("/a /b 404\n")
    (tmp_path / "public/_headers").write_text("X-A: b\n")
    said = refused(tmp_path)
    assert 'public/_redirects:1: found the status "404". It is one of 200, 301' in said
    assert 'public/_headers:1: it belongs to no path. Write the path above it: "/*"' in said
    (tmp_path / "public/_redirects").write_bytes(b"# x\n/\xff /b\n")
    (tmp_path / "public/_headers").write_bytes(bytes(FILE_BYTES + 1))
    assert "public/_redirects:2: it is not UTF-8. Save it as UTF-8" in refused(tmp_path)
    assert "public/_headers: it has 2097153 bytes; at most 2097152 are read" in refused(tmp_path)


def test_assets_are_packed_with_the_code_though_they_are_beside_it(tmp_path: Path):
    text = WRANGLER.replace("{", '{"assets": {"directory": "./public"},', 1)
    files = {"wrangler.jsonc": text, "public/index.html": "<p>", "public/.env": "A=1", "other/page.html": "<p>"}
    result = built(project(tmp_path, **files))
    assert set(files_of(result)) == {"src/entry.py", "src/shop/cart.py", "public/index.html"}
    assert "assets: there is no folder public" in refused(project(tmp_path / "none", **{"wrangler.jsonc": text}))


def test_the_same_project_is_the_same_revision_elsewhere_and_later(tmp_path: Path):
    first = project(tmp_path / "first")
    second = tmp_path / "deep" / "second"
    # Written in another order, at another time, with other rights, and with what running it leaves behind.
    shutil.copytree(first, second)
    (second / "src/entry.py").unlink()
    (second / "src/entry.py").write_text(ENTRY)
    (second / "src/entry.py").chmod(0o755)
    (second / "src/__pycache__").mkdir()
    (second / "src/__pycache__/entry.cpython-311.pyc").write_bytes(b"\0")
    (second / "src/.env").write_text("TOKEN=1")
    assert built(second) == built(first) == built(first)
    (second / "src/shop/cart.py").write_text("SIZE = 2\n")
    assert built(second).app.revision != built(first).app.revision


def test_with_packages_it_is_the_same_revision_with_the_lock_there_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make_wheel(tmp_path / "index", "shapes")
    for name, value in only_from(tmp_path / "index").items():
        monkeypatch.setenv(name, value)
    # Main beside the lock: what is written there must not get into the next revision.
    text = WRANGLER.replace("src/entry.py", "entry.py")
    folder = project(tmp_path / "shop", **{"wrangler.jsonc": text, "entry.py": ENTRY, "requirements.txt": "shapes\n"})
    first = built(folder)
    assert first.packages == ["shapes 1.0"]
    (packages,) = first.app.code
    assert packages.name == "packages"
    unpack_part("shop", packages, io.BytesIO(first.file.blobs[packages.digest]), tmp_path / "there")
    assert (tmp_path / "there/shapes.py").is_file()
    assert set(files_of(first)) == {"entry.py", "src/entry.py", "src/shop/cart.py"} | {
        "requirements.txt",
        "wrangler.jsonc",
    }
    assert (folder / "littoral-cp311-x86_64.lock").is_file()
    assert built(folder) == first


def test_documents_of_ours_are_a_project_and_bring_what_else_they_want(tmp_path: Path):
    folder = project(tmp_path, **{"littoral.yaml": DOCUMENTS})
    result = built(folder)
    assert [record.key for record in result.file.records] == ["Namespace/visits", "App/shop"]
    assert set(files_of(result)) == {"entry.py", "shop/cart.py"}
    assert [str(each) for each in result.warnings] == ["wrangler.jsonc: littoral.yaml is there too; only that is read"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DOCUMENTS.replace("main: entry.py", "mian: entry.py"), "littoral.yaml:12: spec.mian: unknown field"),
        (DOCUMENTS.replace("source: src", "source: lost"), "littoral.yaml: spec.source: there is no folder lost"),
        (DOCUMENTS.partition("---")[0], "littoral.yaml: found 0 App documents; a project is exactly one"),
        (
            DOCUMENTS.replace("entry.py", "lost.py"),
            "littoral.yaml:12: there is no file lost.py. Correct its main module",
        ),
    ],
)
def test_what_is_wrong_in_documents_of_ours(tmp_path: Path, text: str, said: str):
    assert said in refused(project(tmp_path, **{"littoral.yaml": text}))


def test_modules_are_called_as_seen_from_the_project(tmp_path: Path):
    assert refused(project(tmp_path, **{"littoral.yaml": DOCUMENTS, "src/entry.py": "def\n"})).startswith(
        "src/entry.py:1: "
    )


def test_documents_of_ours_have_no_environments(tmp_path: Path):
    with pytest.raises(InvalidResource, match="it has no environments"):
        built(project(tmp_path, **{"littoral.yaml": DOCUMENTS}), "staging")


def test_a_folder_that_is_no_project(tmp_path: Path):
    with pytest.raises(
        InvalidInput, match="it has none of littoral.yaml, wrangler.json, .*`littoral init` makes a project"
    ):
        built(tmp_path)


def test_a_main_module_that_is_not_there_or_is_left_out(tmp_path: Path):
    folder = project(tmp_path, **{"wrangler.jsonc": WRANGLER.replace("entry.py", "main.py")})
    assert refused(folder) == "wrangler.jsonc:3: there is no file src/main.py. Correct its main module"
    project(tmp_path, **{"src/.entry.py": ENTRY, "wrangler.jsonc": WRANGLER.replace("entry.py", ".entry.py")})
    assert refused(folder) == "wrangler.jsonc:3: src/.entry.py is left out of the bundle. Correct its main module"


def test_a_main_module_that_does_not_compile(tmp_path: Path):
    folder = project(tmp_path, **{"src/entry.py": ENTRY + "    def fetch(self:\n        pass\n"})
    assert refused(folder) == (
        "src/entry.py:6: '(' was never closed\n    def fetch(self:\n             ^\nCorrect it; nothing of it can run"
    )


def test_a_main_module_without_an_entry_point(tmp_path: Path):
    assert refused(project(tmp_path, **{"src/entry.py": "x = 1\n"})).startswith("src/entry.py: nothing in it answers")


def test_other_modules_and_unknown_names_warn(tmp_path: Path):
    folder = project(tmp_path, **{"src/shop/cart.py": "print 1\n", "src/entry.py": f"{ENTRY}    x = self.env.KV\n"})
    assert [str(each).splitlines()[0] for each in built(folder).warnings] == [
        "src/entry.py:6: env.KV is not defined: no variable and no binding has that name; a secret may.",
        "src/shop/cart.py:1: Missing parentheses in call to 'print'. Did you mean print(...)?",
    ]


def test_what_is_too_large_says_what_takes_the_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build_module, "APP_UNPACKED_BYTES", replace(APP_UNPACKED_BYTES, default=1000))
    folder = project(tmp_path, **{"src/large.bin": "x" * 1000})
    with pytest.raises(TooLarge, match=r"bytes together; at most \d+ are allowed. Most of it: src with \d+ bytes"):
        built(folder)


def test_what_is_large_is_a_blob_and_what_is_small_stays_in_the_record(tmp_path: Path):
    folder = project(tmp_path, **{"src/table.csv": "1,2\n" * REMAINS_A_BUNDLE_BYTES})
    result = built(folder)
    assert result.app.bundle is None
    (part,) = result.app.code
    assert (part.name, part.bytes, part.files) == ("own", result.bytes, 3)
    unpack_part("shop", part, io.BytesIO(result.file.blobs[part.digest]), tmp_path / "there")
    assert (tmp_path / "there/src/table.csv").read_bytes() == (folder / "src/table.csv").read_bytes()
    assert built(folder) == result
