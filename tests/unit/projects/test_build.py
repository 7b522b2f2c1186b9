"""From a folder to a revision."""

import shutil
from datetime import date
from pathlib import Path

import msgspec
import pytest

from littoral.core.errors import InvalidInput, InvalidResource, TooLarge
from littoral.core.resources import App
from littoral.fleet.bundles import UNPACKED_MOST_BYTES, unpack_bundle
from littoral.projects import source_files as source_files_module
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
    assert "python_modules/shapes.py" in files_of(first)
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
        "src/entry.py:6: env.KV is not defined: no variable and no binding has that name.",
        "src/shop/cart.py:1: Missing parentheses in call to 'print'. Did you mean print(...)?",
    ]


def test_what_is_too_large_says_what_takes_the_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(source_files_module, "UNPACKED_MOST_BYTES", UNPACKED_MOST_BYTES * 2)
    folder = project(tmp_path)
    with (folder / "src" / "large.bin").open("wb") as file:
        file.truncate(UNPACKED_MOST_BYTES)
    with pytest.raises(TooLarge, match=r"bytes together; at most \d+ are allowed. Most of it: src with \d+ bytes"):
        built(folder)
