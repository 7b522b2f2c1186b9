"""JSON with comments."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.resources.syntax import DEPTH_MOST
from littoral.projects.jsonc import DIGITS_MOST, read_jsonc

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
BLANKS = st.sampled_from([" ", "\n", "\t", "\r\n", '// a, [b] "\n', "/* {\n*/", "/**/"])


@given(value=VALUES, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
def test_what_json_writes_is_read_the_same(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    document = read_jsonc(text)
    assert not document.problems
    assert document.value == value
    assert repr(document.value) == repr(json.loads(text))


@given(text=st.text(alphabet='{}[]",:/*\\ \n01-.eEtrufalsn', max_size=40))
def test_what_json_reads_is_read_the_same(text):
    try:
        wanted = json.loads(text, object_pairs_hook=_no_name_twice, parse_constant=_refuse)
    except ValueError:
        return
    document = read_jsonc(text)
    assert not document.problems, text
    assert repr(document.value) == repr(wanted)


def _no_name_twice(pairs):
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError
    return dict(pairs)


def _refuse(constant):
    raise ValueError(constant)


@given(blanks=st.lists(BLANKS, min_size=9, max_size=9))
def test_comments_and_commas_may_stand_anywhere_between(blanks):
    tokens = ["{", '"a"', ":", "[", "1", ",", "2", ",", "]"]
    text = "".join(token + blank for token, blank in zip(tokens, blanks, strict=True)) + ",}"
    assert read_jsonc(text).value == {"a": [1, 2]}


def test_every_member_and_element_has_its_line():
    document = read_jsonc('// head\n{\n  "a": 1, /* two\nlines */ "b": [\n    {"c": null},\n    "//"\n  ],\n}\n')
    assert document.value == {"a": 1, "b": [{"c": None}, "//"]}
    assert document.lines == {(): 2, ("a",): 3, ("b",): 4, ("b", 0): 5, ("b", 0, "c"): 5, ("b", 1): 6}


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("", 1, "it ends too early"),
        ("{", 1, "expected a name in double quotes, or"),
        ('{"a": 1\n "b": 2}', 2, 'expected a comma or "}"'),
        ("[1 2]", 1, 'expected a comma or "]"'),
        ("[,1]", 1, "expected a value"),
        ("[1,,2]", 1, "expected a value"),
        ('{"a"\n1}', 2, "expected a colon after the name a"),
        ('{"a": 1,\n\n"a": 2}', 3, "a is there twice; the first is in line 1"),
        ('["a\n"]', 1, "does not end in its line"),
        (r'["\x"]', 1, "an escape that is none"),
        (r'["\ud800"]', 1, "half of a surrogate pair"),
        ("/* [1]", 1, "this comment does not end"),
        ("[1]\n[2]", 2, "something follows the end"),
        ("[01]", 1, "expected a value"),
        ("[nulls]", 1, "expected a value"),
        ("[NaN]", 1, "expected a value"),
        ("[" * (DEPTH_MOST + 1), 1, "nested more than"),
        ("1" * (DIGITS_MOST + 1), 1, "a number has more than"),
    ],
)
def test_what_is_broken_says_where_and_what(text: str, line: int, cause: str):
    document = read_jsonc(text)
    assert document.value is None
    (problem,) = document.problems
    assert problem.line == line
    assert cause in problem.cause
