"""Packages in a bundle: from wheels only, and the same ones at every build. pip is real; what it finds is made here."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from littoral.core.errors import InvalidInput, InvalidResource, TooLarge, Unavailable
from littoral.core.function_limits import APP_UNPACKED_BYTES
from littoral.projects import wheels
from littoral.projects.dependencies import resolve
from littoral.projects.target import Target, target_of
from littoral.projects.wheels import unpack
from tests.support.wheels import make_source, make_wheel, only_from

TARGET = Target("3.11", "x86_64")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in only_from(folder).items():
        monkeypatch.setenv(name, value)
    return folder


def project(tmp_path: Path, *requirements: str) -> Path:
    folder = tmp_path / "project"
    folder.mkdir(exist_ok=True)
    (folder / "requirements.txt").write_text("".join(f"{each}\n" for each in requirements))
    return folder


def refused(folder: Path, target: Target = TARGET) -> str:
    # What is had already is not asked for.
    shutil.rmtree(folder / ".littoral", ignore_errors=True)
    with pytest.raises(InvalidResource) as caught:
        resolve(folder, target)
    return caught.value.cause.removeprefix("nothing was built\n")


def test_packages_and_what_they_need_become_files_of_the_bundle(tmp_path: Path, index: Path):
    make_wheel(index, "shapes", needs=["colours>=1"], files={"shapes_data/a.txt": "a", "shapes.pyc": "no"})
    make_wheel(index, "colours", "2.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    found = resolve(project(tmp_path, "shapes", "workers-py"), TARGET)
    assert found.packages == ["colours 2.0", "shapes 1.0"]
    assert set(found.files) == {
        "python_modules/colours.py",
        "python_modules/colours-2.0.dist-info/METADATA",
        "python_modules/colours-2.0.dist-info/WHEEL",
        "python_modules/shapes.py",
        "python_modules/shapes_data/a.txt",
        "python_modules/shapes-1.0.dist-info/METADATA",
        "python_modules/shapes-1.0.dist-info/WHEEL",
    }


def test_a_lock_keeps_the_versions_until_the_requirements_change(tmp_path: Path, index: Path):
    make_wheel(index, "shapes", "1.0")
    folder = project(tmp_path, "shapes")
    first = resolve(folder, TARGET)
    lock = (folder / "littoral-cp311-x86_64.lock").read_text()
    assert "\nshapes==1.0 --hash=sha256:" in lock
    make_wheel(index, "shapes", "2.0")
    assert resolve(folder, TARGET) == first
    assert (folder / "littoral-cp311-x86_64.lock").read_text() == lock
    assert resolve(project(tmp_path, "shapes>=1.5"), TARGET).packages == ["shapes 2.0"]


def test_a_wheel_that_is_not_the_locked_one_is_refused(tmp_path: Path, index: Path):
    make_wheel(index, "shapes")
    folder = project(tmp_path, "shapes")
    resolve(folder, TARGET)
    make_wheel(index, "shapes", files={"shapes.py": "stolen = True\n"})
    said = refused(folder)
    assert said.startswith("littoral-cp311-x86_64.lock: what it lists cannot be had: ")
    assert "HASHES" in said
    assert said.endswith("Delete it to look for the versions that there are, and build again")


def test_hashes_in_the_requirements_are_held(tmp_path: Path, index: Path):
    make_wheel(index, "shapes")
    folder = project(tmp_path, f"shapes==1.0 --hash=sha256:{'0' * 64}")
    assert "HASHES" in refused(folder)


def test_a_damaged_lock_says_so(tmp_path: Path, index: Path):
    make_wheel(index, "shapes")
    folder = project(tmp_path, "shapes")
    resolve(folder, TARGET)
    with (folder / "littoral-cp311-x86_64.lock").open("a") as lock:
        lock.write("shapes\n")
    with pytest.raises(InvalidInput, match="line 4 is not NAME==VERSION"):
        resolve(folder, TARGET)


def test_a_package_without_a_wheel_is_named_with_its_line(tmp_path: Path, index: Path):
    make_source(index, "ancient")
    folder = project(tmp_path, "# first", "ancient>=1")
    said = refused(folder)
    assert said.startswith(
        "requirements.txt:2: there is no wheel of ancient for CPython 3.11 on Linux x86_64 (glibc 2.28 or older). Check"
    )
    assert "`pip wheel --no-deps --wheel-dir wheels ancient` in the project's folder" in said
    assert not (index / "was-run").exists(), "code of a package was run"
    assert not (folder / "littoral-cp311-x86_64.lock").exists()


def test_a_package_that_another_needs_is_named_with_the_line_of_that(tmp_path: Path, index: Path):
    make_wheel(index, "shapes", needs=["ancient"])
    make_source(index, "ancient")
    assert refused(project(tmp_path, "shapes")).startswith(
        "requirements.txt:1: there is no wheel of ancient, which shapes needs for CPython 3.11 on"
    )


def test_versions_that_there_are_wheels_of_are_named(tmp_path: Path, index: Path):
    make_wheel(index, "shapes", "1.0")
    make_wheel(index, "shapes", "1.1")
    assert "in the version asked for; there are 1.0, 1.1." in refused(project(tmp_path, "shapes>=2"))


def test_wheels_are_those_of_the_nodes_and_not_of_this_machine(tmp_path: Path, index: Path):
    make_wheel(index, "shapes", "2.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    make_wheel(index, "shapes", "1.0", tag="cp312-cp312-manylinux_2_28_aarch64")
    make_wheel(index, "shapes", "3.0", tag="cp311-cp311-manylinux_2_39_x86_64")
    make_wheel(index, "shapes", "4.0", tag="cp311-cp311-win_amd64")
    folder = project(tmp_path, "shapes")
    assert resolve(folder, TARGET).packages == ["shapes 2.0"]
    assert resolve(folder, Target("3.12", "aarch64")).packages == ["shapes 1.0"]
    assert "there is no wheel of shapes for CPython 3.12 on Linux x86_64" in refused(folder, Target("3.12", "x86_64"))


def test_requirements_that_contradict_each_other(tmp_path: Path, index: Path):
    make_wheel(index, "shapes", needs=["colours<2"])
    make_wheel(index, "colours", "1.0")
    make_wheel(index, "colours", "2.0")
    assert refused(project(tmp_path, "shapes", "colours>=2")) == (
        "requirements.txt: its packages cannot be had together: "
        "The user requested colours>=2; shapes 1.0 depends on colours<2"
    )


def test_an_index_that_does_not_answer_is_not_taken_for_one_without_packages(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(
        Unavailable, match=r"cannot get packages from pip's index: .*Connection refused.* Check the network"
    ):
        resolve(project(tmp_path, "shapes"), TARGET)


def test_wheels_that_no_index_has_are_kept_with_the_project(tmp_path: Path, index: Path):
    make_source(index, "ancient", "2.0")
    folder = project(tmp_path, "ancient")
    make_wheel(folder / "wheels", "ancient", "2.0")
    assert resolve(folder, TARGET).packages == ["ancient 2.0"]
    shutil.rmtree(folder / ".littoral")
    assert resolve(folder, TARGET).packages == ["ancient 2.0"], "as the lock has it"
    assert not (index / "was-run").exists()


def test_constraints_say_versions_only(tmp_path: Path, index: Path):
    make_wheel(index, "shapes", "1.0")
    make_wheel(index, "shapes", "2.0")
    make_wheel(index, "colours")
    folder = project(tmp_path, "shapes", "-c pins.txt")
    (folder / "pins.txt").write_text("shapes<2\ncolours==1.0\n")
    assert resolve(folder, TARGET).packages == ["shapes 1.0"]


def test_a_project_without_packages_asks_nobody_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.executable", "/nowhere")
    folder = project(tmp_path, "workers-py")
    assert resolve(folder, TARGET).files == {}
    assert [each.name for each in folder.iterdir()] == ["requirements.txt"]


def test_what_is_called_pip_where_one_builds_is_not_run(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch):
    make_wheel(index, "shapes")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pip.py").write_text("raise SystemExit('it was run')\n")
    assert resolve(project(tmp_path, "shapes"), TARGET).packages == ["shapes 1.0"]


def test_libraries_of_a_wheel_are_kept_and_scripts_are_not(tmp_path: Path):
    files = {
        "shapes-1.0.data/purelib/inner/a.py": "a",
        "shapes-1.0.data/platlib/b.so": "b",
        "shapes-1.0.data/scripts/shape": "#!python",
        "shapes-1.0.data/data/share/x": "x",
    }
    unpacked = dict(unpack(make_wheel(tmp_path, "shapes", files=files)))
    assert unpacked["python_modules/inner/a.py"] == b"a"
    assert unpacked["python_modules/b.so"] == b"b"
    assert not [path for path in unpacked if "shape\n" in path or "scripts" in path or "share" in path]


def test_a_damaged_or_endless_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wheels, "APP_UNPACKED_BYTES", replace(APP_UNPACKED_BYTES, default=1 << 20))
    wheel = make_wheel(tmp_path, "shapes")
    wheel.write_bytes(wheel.read_bytes()[:100])
    with pytest.raises(InvalidInput, match="it is damaged"):
        list(unpack(wheel))
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes((1 << 20) + 1))
    with pytest.raises(TooLarge, match="the most that an app may have"):
        list(unpack(wheel))


def test_targets():
    assert target_of(None, "AMD64").processor == "x86_64"
    assert target_of("3.12", "arm64").tag == "cp312-aarch64"
    assert "--platform=manylinux2014_aarch64" in target_of("3.12", "arm64").options()
    with pytest.raises(InvalidInput, match="no version such as"):
        target_of("311", None)
    with pytest.raises(InvalidInput, match="expected one of x86_64, aarch64"):
        target_of(None, "riscv64")


def test_the_next_build_asks_nobody_for_what_this_one_has(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch):
    wheel = make_wheel(index, "shapes")
    folder = project(tmp_path, "shapes")
    first = resolve(folder, TARGET)
    wheel.unlink()
    monkeypatch.setattr("littoral.projects.pip.sys.executable", "/nowhere")
    assert resolve(folder, TARGET) == first


def test_a_wheel_that_was_changed_since_is_not_taken(tmp_path: Path, index: Path):
    make_wheel(index, "shapes")
    folder = project(tmp_path, "shapes")
    first = resolve(folder, TARGET)
    (kept,) = (folder / ".littoral/wheels").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert resolve(folder, TARGET) == first
