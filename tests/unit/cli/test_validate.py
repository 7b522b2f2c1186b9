"""Validating, and printing the schema; the pages that are about it."""

import json
import re
import runpy
from pathlib import Path

import pytest

from littoral.cli.main import run

REPOSITORY = Path(__file__).parents[3]
GOOD = "apiVersion: littoral/v1\nkind: Namespace\nmetadata: {name: factory}\n"
BAD = "apiVersion: littoral/v1\nkind: Namespace\nmetadata: {name: factory}\nspec:\n  mode: replicate\n  ttl: 1s\n"


def test_good_documents_are_counted(tmp_path: Path, capsys):
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yml").write_text(GOOD.replace("factory", "other"))
    (tmp_path / "notes.txt").write_text("no document")
    assert run(["validate", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "2 documents in 2 files: no problems\n"


def test_every_problem_is_printed_with_file_line_and_field(tmp_path: Path, capsys):
    bad, worse = tmp_path / "bad.yaml", tmp_path / "worse.yaml"
    bad.write_text(f"{GOOD}---\n{BAD.replace('factory', 'other')}")
    worse.write_text("a: [\n")
    assert run(["validate", str(bad), str(worse)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"{bad}:9: document 2 (Namespace other), spec.mode: ")
    assert printed[1].startswith(f"{bad}:10: document 2 (Namespace other), spec.ttl: ")
    assert printed[2].startswith(f"{worse}:2:1: document 1: ")
    assert len(printed) == 3


def test_the_same_name_in_two_files_is_a_problem(tmp_path: Path, capsys):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(GOOD)
    two.write_text(GOOD)
    assert run(["validate", str(one), str(two)]) == 1
    assert capsys.readouterr().out == f"{two}: Namespace factory: {one} has the same kind and name\n"


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path, capsys):
    assert run(["validate", str(tmp_path / "none.yaml")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: cannot read {tmp_path / 'none.yaml'}: No such file or directory\n")
    assert captured.out == ""


def test_a_folder_without_documents_is_an_error(tmp_path: Path, capsys):
    assert run(["validate", str(tmp_path)]) == 1
    assert "no file in this folder ends in .yaml or .yml" in capsys.readouterr().err


def test_the_schema_is_json(capsys):
    assert run(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "littoral/v1"


def test_the_example_and_the_page_are_valid(capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    page = (REPOSITORY / "docs" / "howto" / "validate-resources.md").read_text(encoding="utf-8")
    monkeypatch.chdir(REPOSITORY)
    assert run(["validate", "examples/factory"]) == 0
    assert f"```\n{capsys.readouterr().out}```" in page
    document = re.search(r"```yaml\n(apiVersion.*?)```", page, re.DOTALL)
    assert document is not None
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text(document[1])
    assert run(["validate", "rules.yaml"]) == 1
    assert f"```\n{capsys.readouterr().out}```" in page, "docs/howto/validate-resources.md shows other problems"


@pytest.mark.parametrize("name", ["cli", "resources"])
def test_the_reference_pages_are_what_the_source_says(name: str):
    page = runpy.run_path(str(REPOSITORY / "scripts" / f"write-{name}-page.py"))["page"]()
    written = (REPOSITORY / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")
    assert written == page, f"docs/reference/{name}.md is old: run `make docs`"
