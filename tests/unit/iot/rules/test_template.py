import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.iot.rules import render_template


@pytest.mark.parametrize(
    ("template", "key", "name"),
    [
        ("factory/{key}/alert", "line-1", "factory/line-1/alert"),
        ("factory/{rule}/{key}", "a/b/temperature", "factory/hot/a/b/temperature"),
        ("x/{key}", "+/#", "x/%2B/%23"),
        ("x/{key}", "a\x00b\n", "x/a%00b%0A"),
        ("x/{key}", "50%", "x/50%25"),
        ("x/{key}", "{rule}", "x/{rule}"),
        ("x/{key}", "é\x85", "x/é%C2%85"),
        ("{key}/x", "$SYS", "%24SYS/x"),
        ("$aws/{key}", "$SYS", "$aws/$SYS"),
        ("x/{other}/{0}", "k", "x/{other}/{0}"),
    ],
)
def test_a_key_cannot_change_the_meaning_of_the_name(template, key, name):
    assert render_template(template, key=key, rule="hot") == name


@given(st.text(max_size=8), st.text(max_size=8))
def test_different_keys_give_different_names(one, other):
    rendered = [render_template("x/{key}/y", key=key, rule="hot") for key in (one, other)]
    assert (rendered[0] == rendered[1]) == (one == other)
    assert not set("+#\x00") & set(rendered[0])
