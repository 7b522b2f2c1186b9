"""Variables of a developer's machine."""

from pathlib import Path

import pytest

from littoral.core.errors import InvalidResource
from littoral.projects.dev_vars import read_dev_vars


def read(folder: Path, text: str) -> dict[str, str]:
    (folder / ".dev.vars").write_text(text)
    return read_dev_vars(folder, None)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("  A = plain  ", "plain"),
        ("export A=plain", "plain"),
        ("A=", ""),
        ("A=a b c # said later", "a b c"),
        ('A="a # b"', "a # b"),
        (r'A="two\nlines \"quoted\" \\"', 'two\nlines "quoted" \\'),
        ("A='as $it \\n is'", "as $it \\n is"),
        ("A=postgres://user:pass@host/db?x=1", "postgres://user:pass@host/db?x=1"),
    ],
)
def test_one_line(tmp_path: Path, line: str, value: str):
    assert read(tmp_path, f"# secrets\n\n{line}\n") == {"A": value}


@pytest.mark.parametrize("line", ["no sign", "1A=b", 'A="open', "A='open", "=b"])
def test_a_line_that_says_nothing_is_named(tmp_path: Path, line: str):
    with pytest.raises(InvalidResource, match=r"\.dev\.vars:2: it is not NAME=VALUE"):
        read(tmp_path, f"B=1\n{line}\n")


def test_which_file_is_read(tmp_path: Path):
    assert read_dev_vars(tmp_path, None) == {}
    (tmp_path / ".env").write_text("A=env")
    assert read_dev_vars(tmp_path, "staging") == {"A": "env"}
    (tmp_path / ".dev.vars").write_text("A=dev")
    assert read_dev_vars(tmp_path, "staging") == {"A": "dev"}
    (tmp_path / ".dev.vars.staging").write_text("A=staging")
    assert read_dev_vars(tmp_path, "staging") == {"A": "staging"}
    assert read_dev_vars(tmp_path, None) == {"A": "dev"}
