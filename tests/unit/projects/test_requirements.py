"""Which packages a project lists, and where."""

from pathlib import Path

import pytest

from littoral.projects.requirements import Requirements, read_requirements
from littoral.projects.target import Target

TARGET = Target("3.11", "x86_64")


def read(folder: Path, **files: str) -> Requirements:
    for name, text in files.items():
        (
            folder / {"pyproject": "pyproject.toml", "requirements": "requirements.txt"}.get(name, f"{name}.txt")
        ).write_text(text)
    return read_requirements(folder, TARGET)


def wanted(found: Requirements) -> list[tuple[str, int | None, str]]:
    assert not found.findings, [str(each) for each in found.findings]
    return [(each.file, each.line, each.text) for each in found.wanted]


TEMPLATE = """\
[project]
name = "shop"
requires-python = ">=3.11"
dependencies = [
    "workers-runtime-sdk",
    "fastapi>=0.100",
    "Workers_Py", # ours, too
    'jinja2[i18n]; python_version < "4"',
]

[dependency-groups]
dev = ["workers-py", "pytest"]
"""


def test_dependencies_of_a_project_without_those_of_its_development_and_ours(tmp_path: Path):
    found = read(tmp_path, pyproject=TEMPLATE)
    assert wanted(found) == [
        ("pyproject.toml", 6, "fastapi>=0.100"),
        ("pyproject.toml", 8, 'jinja2[i18n]; python_version < "4"'),
    ]
    assert found.warnings == []


def test_none(tmp_path: Path):
    assert wanted(read(tmp_path)) == []
    assert wanted(read(tmp_path, pyproject="[tool.x]\n")) == []


def test_a_project_for_a_newer_python_is_warned_of(tmp_path: Path):
    found = read(tmp_path, pyproject='[project]\nname = "a"\nrequires-python = ">=3.12"\n')
    assert [str(each) for each in found.warnings] == [
        "pyproject.toml:3: it asks for Python >=3.12; this is built for Python 3.11"
    ]


def test_requirements_are_read_where_the_project_lists_none(tmp_path: Path):
    lines = "# ours\nworkers-py\n\nmarkupsafe==3.0.3 \\\n  --hash=sha256:aa \\\n  --hash=sha256:bb\nflask # web\n"
    assert wanted(read(tmp_path, requirements=lines, pyproject="[project]\nname = 'a'\ndependencies = []\n")) == [
        ("requirements.txt", 4, "markupsafe==3.0.3    --hash=sha256:aa    --hash=sha256:bb"),
        ("requirements.txt", 7, "flask"),
    ]
    both = read(tmp_path, pyproject=TEMPLATE)
    assert [str(each) for each in both.warnings] == [
        "requirements.txt: it is not read: pyproject.toml lists dependencies"
    ]


def test_files_that_include_others(tmp_path: Path):
    found = read(tmp_path, requirements="-r base.txt\n--constraint=pins.txt\n", base="flask\n", pins="jinja2==3\n")
    assert wanted(found) == [("base.txt", 1, "flask"), ("pins.txt", 1, "jinja2==3")]
    assert [each.is_constraint for each in found.wanted] == [False, True]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--pre", "requirements.txt:2: the option --pre is not read from here. Set it in pip's configuration"),
        ("-e .", "requirements.txt:2: the option -e is not read from here"),
        ("./local", 'requirements.txt:2: found "./local"; expected the name of a package'),
        ("folder/local", 'requirements.txt:2: found "folder/local"; expected the name of a package'),
        ("https://a.test/b.whl", 'found "https://a.test/b.whl"; expected the name of a package'),
        ("-r lost.txt", "requirements.txt:2: there is no file lost.txt"),
        ("-r requirements.txt", "files include each other more than 8 levels deep"),
    ],
)
def test_what_is_no_package_of_an_index_says_its_line(tmp_path: Path, line: str, said: str):
    found = read(tmp_path, requirements=f"flask\n{line}\n")
    assert said in str(found.findings[0])


@pytest.mark.parametrize("text", ["[project\n", "[project]\ndependencies = 'a'\n", "[project]\ndependencies = [1]\n"])
def test_a_broken_project_file(tmp_path: Path, text: str):
    (finding,) = read(tmp_path, pyproject=text).findings
    assert str(finding).startswith("pyproject.toml:")
