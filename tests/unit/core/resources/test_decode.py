"""What a writer of YAML is told. Each row: a document, and the error as it is printed."""

import pytest

from littoral.core.errors import InvalidResource
from littoral.core.limits import RESOURCE_FILE_BYTES, Limits
from littoral.core.resources import Node, Rule
from littoral.core.resources.decode import decode_resources, inspect_resources

NODE = """\
apiVersion: littoral/v1
kind: Node
metadata:
  name: plant-a
spec:
  tier: site
"""

RULE = """\
apiVersion: littoral/v1
kind: Rule
metadata: {name: press}
spec:
  source: {mqtt: {topic: factory/+/temperature}}
  value: {path: value}
  window: {tumbling: 5m}
  windows:
    - stream: {name: windows}
"""


def problems_of(text: str | bytes) -> list[str]:
    return [str(problem) for problem in inspect_resources(text)[1]]


def test_valid_documents_are_returned_in_the_order_of_the_file() -> None:
    node, rule = decode_resources(NODE + "---\n" + RULE, "site.yaml")
    assert isinstance(node, Node)
    assert node.spec.tier == "site"
    assert isinstance(rule, Rule)
    assert rule.spec.window is not None
    assert rule.spec.window.allowed_lateness == "0s"


def test_empty_documents_and_comments_between_markers_are_left_out() -> None:
    text = f"# a comment\n---\n{NODE}---\n# nothing\n---\n{RULE}...\n"
    assert [resource.metadata.name for resource in decode_resources(text, "a.yaml")] == ["plant-a", "press"]


def test_only_true_and_false_are_booleans_and_dates_are_text() -> None:
    text = NODE + "  advertise: [on, no, 2014-01-07]\n"
    (node,) = decode_resources(text, "site.yaml")
    assert isinstance(node, Node)
    assert node.spec.advertise == ["on", "no", "2014-01-07"]


def test_the_error_names_file_line_document_and_field_and_says_what_is_allowed() -> None:
    with pytest.raises(InvalidResource) as raised:
        decode_resources(NODE.replace("tier:", "teir:"), "site.yaml")
    assert str(raised.value) == (
        "cannot read site.yaml: 2 problems\n"
        '  line 6, document 1 (Node plant-a), spec.teir: unknown field. Did you mean "tier"? '
        "Allowed: tier, parent, listen, advertise, gateways, gatewayTls, staticRoots, inlineApps, cacheDirectory, accessLog, countryHeader, geoDatabases, mqtt, streams, encryption, storage, statusInterval, limits\n"
        '  line 5, document 1 (Node plant-a), spec: the field "tier" is missing; '
        'it is one of "cloud", "device", "region", "site"'
    )


def test_every_document_of_a_file_is_reported_even_after_one_that_is_no_yaml() -> None:
    text = NODE.replace("site", "sight") + "---\nspec: [1\n---\n" + NODE.replace("plant-a", "Plant A")
    assert problems_of(text) == [
        (
            'line 6, document 1 (Node plant-a), spec.tier: found "sight"; '
            'expected one of "cloud", "device", "region", "site". Did you mean "site"?'
        ),
        "line 9, column 1, document 2: this is not YAML: while parsing a flow sequence, did not find expected ',' or ']'",
        (
            'line 13, document 3 (Node Plant A), metadata.name: found "Plant A"; '
            "expected a DNS label (text that matches ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$)"
        ),
    ]


BROKEN = {
    "no document": ("", "document 1: the file holds no document; one begins with apiVersion: littoral/v1"),
    "not a mapping": ("- a\n", "line 1, document 1: found a list; expected a mapping with apiVersion, kind"),
    "no kind": (
        "a: 1\n",
        'line 1, document 1: the field "kind" is missing. Allowed: Node, App, Namespace, Rule, Route, Origin, GlobalTopics',
    ),
    "unknown kind": (
        "kind: rule\n",
        'line 1, document 1 (rule), kind: found "rule". Did you mean "Rule"? Allowed: Node, App, Namespace, Rule, Route, Origin, GlobalTopics',
    ),
    "kind is a list": (
        "kind: [Node]\n",
        'line 1, document 1, kind: found ["Node"]. Allowed: Node, App, Namespace, Rule, Route, Origin, GlobalTopics',
    ),
    "other version": (
        NODE.replace("v1", "v2"),
        (
            'line 1, document 1 (Node plant-a), apiVersion: found "littoral/v2"; expected "littoral/v1". '
            'Did you mean "littoral/v1"?'
        ),
    ),
    "unknown field at the top": (
        NODE + "status: {}\n",
        "line 7, document 1 (Node plant-a), status: unknown field. Allowed: kind, apiVersion, metadata, spec",
    ),
    "snake case": (
        NODE + "  status_interval: 5s\n",
        (
            'line 7, document 1 (Node plant-a), spec.status_interval: unknown field. Did you mean "statusInterval"? '
            "Allowed: tier, parent, listen, advertise, gateways, gatewayTls, staticRoots, inlineApps, cacheDirectory, accessLog, countryHeader, geoDatabases, mqtt, streams, encryption, storage, statusInterval, limits"
        ),
    ),
    "text for a number": (
        NODE + "  gateways: many\n",
        (
            'line 7, document 1 (Node plant-a), spec.gateways: found "many"; '
            "expected a whole number, at least 0 and at most 64"
        ),
    ),
    "number out of range": (
        NODE + "  gateways: 65\n",
        "line 7, document 1 (Node plant-a), spec.gateways: found 65; expected a whole number, at least 0 and at most 64",
    ),
    "yes is not a boolean": (
        NODE + "  mqtt: {anonymous: yes}\n",
        'line 7, document 1 (Node plant-a), spec.mqtt.anonymous: found "yes"; expected true or false',
    ),
    "number for text": (
        NODE + "  advertise: [1]\n",
        'line 7, document 1 (Node plant-a), spec.advertise[0]: found 1; expected text. Write it in quotes: "1"',
    ),
    "nothing for a mapping": (
        NODE + "  listen:\n",
        (
            "line 7, document 1 (Node plant-a), spec.listen: found nothing; "
            "expected a mapping with the fields api, peer, join, gateway, relay, mqtt, dashboard, streams"
        ),
    ),
    "address without a port": (
        NODE + "  listen: {mqtt: localhost}\n",
        (
            'line 7, document 1 (Node plant-a), spec.listen.mqtt: found "localhost"; expected "host:port"; '
            r"port 0 takes a free one (text that matches ^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$)"
        ),
    ),
    "duration without a unit": (
        NODE + "  statusInterval: 5\n",
        (
            "line 7, document 1 (Node plant-a), spec.statusInterval: found 5; expected a whole number and a unit: "
            r'"250ms", "5m" (text that matches ^\d+(ms|s|m|h|d)$). Write it in quotes: "5"'
        ),
    ),
    "line break at the end of a name": (
        NODE.replace("name: plant-a", 'name: "plant-a\\n"'),
        (
            'line 4, document 1 (Node "plant-a\\n"), metadata.name: found "plant-a\\n"; '
            "expected a DNS label (text that matches ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$)"
        ),
    ),
    "list where one of two is meant": (
        RULE + "  key: [1]\n",
        'line 10, document 1 (Rule press), spec.key: found a list; expected a mapping with the fields path or "topic"',
    ),
    "label that is a number": (
        NODE.replace("name: plant-a", "name: plant-a\n  labels: {line: 3}"),
        'line 5, document 1 (Node plant-a), metadata.labels.line: found 3; expected text. Write it in quotes: "3"',
    ),
    "number too large for a float": (
        RULE.replace("windows:\n", "detect: {zscore: {threshold: 1e999}}\n  windows:\n"),
        "line 8, document 1 (Rule press), spec.detect.zscore.threshold: found null; expected a number, above 0",
    ),
    "duplicate key": (
        NODE + "  tier: cloud\n",
        "line 7, document 1 (Node plant-a), spec.tier: tier is set twice; the first is in line 6",
    ),
    "key that is a list": ("? [a]\n: 1\n", "line 1, document 1: a key must be text, not a mapping or a list"),
    "alias": (
        "a: &x {}\nb: *x\n",
        "line 1, document 1: the anchor &x is not supported; write the value where it is used",
    ),
    "alias to nothing": ("a: *x\n", "line 1, document 1: the alias *x is not supported; write the value out"),
    "tag": (
        "a: !!python/name:os.system {}\n",
        "line 1, document 1: the tag tag:yaml.org,2002:python/name:os.system is not supported",
    ),
    "tab": (
        "a:\n\t- 1\n",
        "line 2, column 1, document 1: this is not YAML: while scanning for the next token, found character that cannot start any token",
    ),
    "second document without a marker": (
        "a: 1\n...\nb: 2\n",
        "line 3, column 1, document 1: this is not YAML: did not find expected <document start>",
    ),
    "control character": ("a: \x07\n", "line 1, column 4, document 1: the character U+0007 is not allowed in YAML"),
    "nested without end": ("[" * 100, "line 1, document 1: it is nested more than 32 levels deep"),
    "not UTF-8": (b"a: \xff\n", "document 1: the file is not UTF-8 text. Save it as UTF-8"),
    "same resource twice": (
        NODE + "---\n" + NODE,
        "line 11, document 2 (Node plant-a), metadata.name: document 1 has the same kind and name",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_broken(text: str | bytes, message: str) -> None:
    assert message in problems_of(text)
    assert len(problems_of(text)) == 1
    with pytest.raises(InvalidResource):
        decode_resources(text, "a.yaml")


def test_a_file_over_the_limit_is_refused_before_it_is_parsed() -> None:
    limits = Limits({"resource-file-bytes": 100})
    with pytest.raises(InvalidResource, match=r"145 bytes; at most 100 are allowed \(resource-file-bytes\). Split it"):
        decode_resources("[" * 145, "big.yaml", limits)
    assert limits.reached["resource-file-bytes"] == 1
    assert RESOURCE_FILE_BYTES.default == 1 << 20


def test_a_mebibyte_of_nesting_is_refused_at_once() -> None:
    assert problems_of("[" * (1 << 20)) == ["line 1, document 1: it is nested more than 32 levels deep"]
    assert problems_of("a: " * 300_000)[0].startswith("line 1, column")
