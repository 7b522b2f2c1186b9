"""Documents of global topics: which topic filters they may name."""

import pytest

from littoral.core.resources import GlobalTopics
from littoral.core.resources.decode import decode_resources, inspect_resources


def document(*topics: str, more: str = "") -> str:
    listed = ", ".join(f"'{each}'" for each in topics)
    return f"apiVersion: littoral/v1\nkind: GlobalTopics\nmetadata: {{name: n}}\nspec:\n  topics: [{listed}]\n{more}"


def test_what_is_left_out():
    (found,) = decode_resources(document("orders/#", "+/alarm", "$aws/things/+"), "a.yaml")
    assert isinstance(found, GlobalTopics)
    assert (found.spec.to, found.spec.lane, found.spec.placement.tiers) == ("root", "state", [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (document(), "spec.topics: found no elements; expected at least 1"),
        (
            document("a", "$SYS/#"),
            'spec.topics[1]: found "$SYS/#"; topics under $SYS are of one broker; republish them',
        ),
        (document("$share/g/a"), 'spec.topics[0]: found "$share/g/a"; name the filter behind $share/NAME/'),
        (document("a/#/b"), 'spec.topics[0]: found "a/#/b"; "+" stands for a whole level'),
        (document("a", "a"), 'the topic filter "a" is already in element 0'),
        (document("a", more="  to: moon\n"), "spec.to"),
    ],
)
def test_broken(text: str, told: str):
    _, problems = inspect_resources(text)
    assert len(problems) == 1
    assert told in str(problems[0])
