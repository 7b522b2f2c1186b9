"""The page about guarantees names tests and files that exist."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ROWS = [
    line.strip("|").split("|")
    for line in (REPOSITORY / "docs/explanation/guarantees.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and "`" in line
]


def test_every_row_names_a_test_that_is_there():
    missing = []
    for _, _, tests in ROWS:
        names = re.findall(r"`([^`]+)`", tests)
        assert any(name.endswith(".py") for name in names), tests
        text = ""
        for name in names:
            if name.endswith(".py"):
                text = (REPOSITORY / "tests" / name).read_text(encoding="utf-8")
            elif not re.search(rf"(def|class) {name}\b", text):
                missing.append(name)
    assert missing == []


def test_every_row_names_a_file_that_is_there_and_something_in_it():
    missing = []
    for _, line, _ in ROWS:
        names = re.findall(r"`([^`]+)`", line)
        text = ""
        for name in names:
            if name.endswith(".py"):
                text = (REPOSITORY / "src" / "littoral" / name).read_text(encoding="utf-8")
            elif text and not set(re.findall(r"[A-Za-z_]{3,}", name)) <= set(re.findall(r"[A-Za-z_]{3,}", text)):
                missing.append(name)
    assert missing == []
