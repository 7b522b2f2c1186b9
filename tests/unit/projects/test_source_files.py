"""What goes into a bundle, and what stays out."""

import os
from pathlib import Path

import pytest

from littoral.core.errors import InvalidInput, InvalidResource, TooLarge
from littoral.core.function_limits import APP_UNPACKED_BYTES
from littoral.projects.ignored import Ignored
from littoral.projects.source_files import source_files


def put(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


def packed(folder: Path, base: str = "") -> list[str]:
    files = source_files("shop", folder, base)
    assert all(content == path.encode() or path == "large" for path, content in files.items())
    return list(files)


SECRETS = (".env", ".env.production", ".dev.vars", ".dev.vars.staging", ".git/config", ".ssh/id_rsa", "src/.env")


def test_secrets_and_what_is_of_this_machine_only_is_never_packed(tmp_path: Path):
    put(tmp_path, *SECRETS, ".venv/lib/a.py", "venv/pyvenv.cfg", "venv/lib/a.py", "node_modules/a/b.js")
    put(tmp_path, "src/__pycache__/a.cpython-311.pyc", "src/a.pyc", "uv.lock", "littoral-cp311-x86_64.lock")
    put(tmp_path, "wheels/a-1.0-py3-none-any.whl")
    put(tmp_path, "shop-1.revision", "src/entry.py", "src/data/page.html", "README.md")
    assert packed(tmp_path) == ["README.md", "src/entry.py", "src/data/page.html"]
    assert packed(tmp_path, "src") == ["src/entry.py", "src/data/page.html"]


def test_an_ignore_file_cannot_take_back_what_is_left_out_always(tmp_path: Path):
    put(tmp_path, *SECRETS, "entry.py")
    (tmp_path / ".littoralignore").write_text("!.env\n!.dev.vars\n!*\n")
    assert packed(tmp_path) == ["entry.py"]


def test_an_ignore_file_leaves_out_what_it_lists(tmp_path: Path):
    put(tmp_path, "a.txt", "b.txt", "entry.py", "tests/test_a.py", "src/tests/c.py", "docs/a/b/c.md")
    (tmp_path / ".littoralignore").write_text("# notes\n*.txt\n!b.txt\n/tests/\ndocs/**/c.md\n\n")
    assert packed(tmp_path) == ["b.txt", "entry.py", "src/tests/c.py"]


@pytest.mark.parametrize(
    ("pattern", "path", "is_left_out"),
    [
        ("*.md", "a.md", True),
        ("*.md", "a/b.md", True),
        ("*.md", "a.md5", False),
        ("/a.md", "a.md", True),
        ("/a.md", "b/a.md", False),
        ("a/b.md", "a/b.md", True),
        ("a/b.md", "c/a/b.md", False),
        ("a/*.md", "a/b/c.md", False),
        ("a/**", "a/b/c.md", True),
        ("**/c.md", "a/b/c.md", True),
        ("**/c.md", "c.md", True),
        ("a/**/c.md", "a/c.md", True),
        ("?.md", "a.md", True),
        ("?.md", "ab.md", False),
        ("[ab].md", "a.md", True),
        ("[!ab].md", "a.md", False),
        ("[z-a].md", "[z-a].md", True),
        (r"\#a", "#a", True),
        ("a+b", "a+b", True),
        ("a/", "a", False),
        ("# a", "# a", False),
        ("a ", "a", True),
    ],
)
def test_patterns_are_those_of_gitignore(pattern: str, path: str, is_left_out: bool):
    assert Ignored([pattern]).file(path) is is_left_out


def test_a_pattern_with_a_slash_at_its_end_is_for_folders():
    ignored = Ignored(["build/"])
    assert ignored.folder("a/build", has_environment=False)
    assert not ignored.file("a/build")


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path):
    put(tmp_path, "secret", "project/entry.py", "project/data")
    (tmp_path / "project/here").symlink_to("data")
    assert set(source_files("shop", tmp_path / "project")) == {"data", "entry.py", "here"}
    (tmp_path / "project/stolen").symlink_to("../secret")
    with pytest.raises(InvalidResource, match="stolen is a link to .*/secret, which is not in"):
        source_files("shop", tmp_path / "project")


def test_a_folder_that_is_too_large_is_not_read_whole(tmp_path: Path):
    put(tmp_path, "entry.py", "large")
    os.truncate(tmp_path / "large", APP_UNPACKED_BYTES.default)
    with pytest.raises(TooLarge, match=r"larger than .* List what is not needed to run it in \.littoralignore"):
        source_files("shop", tmp_path)
    (tmp_path / ".littoralignore").write_text("large\n")
    assert packed(tmp_path) == ["entry.py"]


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(InvalidInput, match="lost cannot be read: No such file"):
        source_files("shop", tmp_path, "lost")
