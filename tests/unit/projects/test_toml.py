"""TOML with lines."""

import tomllib

import pytest

from littoral.projects.toml import read_toml

TEXT = '''\
name = "shop"   # a = 1
"quoted.name" = 1
a.b = [
  1, # b = 2
  "]",
]
text = """
name = 2
[no.table]
"""
raw = \'\'\'
x = "
\'\'\'
when = 2025-11-02

[vars]
GREETING = "hi"

[[kv_namespaces]]
binding = "A"
[[kv_namespaces]]
binding = "B"
id = "b"

[env.staging]
name = "other"
[[env.staging.routes]]
pattern = "a/*"
[env.staging.routes.deep]
x = { y = 1 }
'''


def test_lines_are_those_of_keys_and_tables():
    document = read_toml(TEXT)
    assert not document.problems
    wanted = tomllib.loads(TEXT)
    wanted["when"] = "2025-11-02"
    assert document.value == wanted
    lines = TEXT.splitlines()
    found = {path: lines[line - 1].strip() for path, line in document.lines.items() if path}
    assert found["name",] == 'name = "shop"   # a = 1'
    assert found["quoted.name",] == '"quoted.name" = 1'
    assert found["a", "b"] == found["a",] == "a.b = ["
    assert found["text",] == 'text = """'
    assert ("no",) not in found
    assert found["when",] == "when = 2025-11-02"
    assert found["vars", "GREETING"] == 'GREETING = "hi"'
    assert found["kv_namespaces", 0, "binding"] == 'binding = "A"'
    assert found["kv_namespaces", 1, "id"] == 'id = "b"'
    assert document.lines["kv_namespaces", 1] == document.lines["kv_namespaces", 0] + 2
    assert found["env", "staging", "name"] == 'name = "other"'
    assert found["env", "staging", "routes", 0, "pattern"] == 'pattern = "a/*"'
    assert found["env", "staging", "routes", 0, "deep", "x"] == "x = { y = 1 }"
    # Inside of what is written in one value: the line of its key.
    assert document.line(("a", "b", 1)) == document.lines["a", "b"]


@pytest.mark.parametrize(
    ("text", "line"), [("a = 1\nb = \n", 2), ("a = 1\na = 2\n", 2), ("a = [\n", None), ("[a\n", 1)]
)
def test_what_is_broken_says_where(text: str, line: int | None):
    document = read_toml(text)
    assert document.value is None
    (problem,) = document.problems
    assert problem.cause.startswith("this is not TOML: ")
    assert "(at" not in problem.cause or line is None
    assert problem.line == line


def test_a_number_without_end_is_no_crash():
    assert read_toml(f"a = {'9' * 5000}").problems
