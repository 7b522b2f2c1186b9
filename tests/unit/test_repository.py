"""What holds for the repository as a whole."""

import ast
import os
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

from littoral import __version__

REPOSITORY = Path(__file__).parents[2]
FUNCTION_LINES_MOST = 70


@cache
def tracked(suffix: str = "") -> list[Path]:
    """The files of the repository: those committed, and those that would be."""
    listing = subprocess.run(
        # A checkout made by another user is as good.
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    )
    paths = [REPOSITORY / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and path.name.endswith(suffix)]


def relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


def without_code(markdown: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", markdown, flags=re.DOTALL)


# The names are in two parts so that this file does not find itself.
DOWNLOADS = ("pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs", "registry." + "yarnpkg")
OPTIONS = ("--index" + "-url", "--extra-index" + "-url", "--trusted" + "-host", "--find" + "-links")
FOLDERS = ("/ro" + "ot/", "/ho" + "me/", "/wo" + "rk/", "/tmp" + "/w/")


@pytest.mark.parametrize("found", [*DOWNLOADS, *OPTIONS, *FOLDERS])
def test_no_file_names_a_download_address_or_a_folder_of_one_machine(found: str):
    assert [relative(path) for path in tracked() if found in text_of(path)] == []


def test_every_requirement_is_pinned_and_hashed():
    lines = (REPOSITORY / "requirements" / "dev.txt").read_text(encoding="utf-8").splitlines()
    entries = [number for number, line in enumerate(lines) if line and line[0] not in "# "]
    assert entries
    for number in entries:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[^ ]+ \\", lines[number]), lines[number]
        assert lines[number + 1].startswith("    --hash=sha256:"), lines[number]


def test_every_dependency_is_in_the_lock():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    locked = (REPOSITORY / "requirements" / "dev.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    names = [re.split(r"[\[<>=!~; ]", one)[0].lower().replace("_", "-") for one in wanted]
    assert [name for name in names if f"\n{name}==" not in f"\n{locked}"] == [], "run `make lock`"


def test_the_licence_is_apache_2():
    licence = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_the_changelog_has_a_place_for_the_next_version():
    assert "## [Unreleased]" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


@pytest.mark.parametrize("page", tracked(".md"), ids=relative)
def test_every_relative_link_leads_to_a_file(page: Path):
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(page)))
    missing = [
        link
        for link in links
        if not re.match(r"[a-z]+:|#", link) and not (page.parent / link.partition("#")[0]).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", tracked(".md"), ids=relative)
def test_every_make_command_on_a_page_is_a_target(page: Path):
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = re.findall(r"(?:^|`)make ([a-z-]+)", text_of(page), flags=re.MULTILINE)
    assert sorted(set(named) - targets) == []


def test_every_page_of_the_documentation_is_in_an_index():
    docs = REPOSITORY / "docs"
    pages = [path for path in tracked(".md") if path.is_relative_to(docs) and path.name != "README.md"]
    indexes = {index: text_of(index) for index in (docs / "README.md", docs / "adr" / "README.md")}
    unlisted = [
        relative(page)
        for page in pages
        if not any(f"({os.path.relpath(page, index.parent)})" in text for index, text in indexes.items())
    ]
    assert unlisted == []


def test_every_package_is_on_the_code_map():
    packages = {path.parent.name for path in (REPOSITORY / "src" / "littoral").glob("*/__init__.py")}
    architecture = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert sorted(name for name in packages if f"### `{name}/`" not in architecture) == []


def test_no_function_is_longer_than_a_screen():
    too_long = []
    for path in tracked(".py"):
        if path.is_relative_to(REPOSITORY / "src"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > FUNCTION_LINES_MOST:
                        too_long.append(f"{relative(path)}:{node.lineno} {node.name} has {lines} lines")
    assert too_long == []


@pytest.mark.parametrize("script", [".ci/run", *(relative(path) for path in tracked(".sh"))])
def test_scripts_can_be_run(script: str):
    assert os.access(REPOSITORY / script, os.X_OK)
    subprocess.run(["bash", "-n", str(REPOSITORY / script)], check=True)
