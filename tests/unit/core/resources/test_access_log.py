"""Which fields an access log may have."""

import pytest

from littoral.core.resources.access_log import FIELDS
from littoral.core.resources.decode import decode_resources, inspect_resources


def node(text: str) -> str:
    return f"apiVersion: littoral/v1\nkind: Node\nmetadata: {{name: n}}\nspec:\n  tier: cloud\n  accessLog: {text}\n"


def route(text: str) -> str:
    match = "match: [{path: '/*'}]\n  origin: o"
    return f"apiVersion: littoral/v1\nkind: Route\nmetadata: {{name: n}}\nspec:\n  {match}\n  accessLog: {text}\n"


@pytest.mark.parametrize(
    "text",
    [
        node("{}"),
        node("{directory: /var/log/littoral, samplePercent: 0.1, fields: [time, request.X-Shop, response.etag]}"),
        node(f"{{fields: [{', '.join(FIELDS)}]}}"),
        route("{}"),
        route("{enabled: false}"),
        route("{samplePercent: 100, fields: [path]}"),
    ],
)
def test_valid(text: str) -> None:
    assert len(decode_resources(text, "a.yaml")) == 1


@pytest.mark.parametrize("document", [node, route])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "{fields: [tim]}",
            'spec.accessLog.fields[0]: found "tim"; there is no such field. Did you mean "time"? Allowed:',
        ),
        ("{fields: [time, time]}", 'spec.accessLog.fields[1]: the field "time" is already in element 0'),
        ("{fields: [request.Authorization]}", "what it holds is a secret, and is written nowhere. Leave it out"),
        ("{fields: [request.cookie]}", "is a secret"),
        ("{fields: [response.Set-Cookie]}", "is a secret"),
        ("{fields: [request.proxy-authorization]}", "is a secret"),
        ("{fields: [request.]}", "there is no such field"),
        ("{fields: ['request.a b']}", "there is no such field"),
        ("{fields: []}", "spec.accessLog.fields: found no elements"),
        ("{samplePercent: 101}", "spec.accessLog.samplePercent: found 101"),
        ("{samplePercent: '1%'}", "expected a number, at least 0 and at most 100"),
    ],
)
def test_broken(document, text: str, words: str) -> None:
    _, problems = inspect_resources(document(text))
    assert len(problems) == 1, problems
    assert words in str(problems[0])


def test_a_relative_directory_is_refused() -> None:
    _, (problem,) = inspect_resources(node("{directory: log}"))
    assert "spec.accessLog.directory" in str(problem)
