import msgspec
import pytest

from littoral.core.resources.part import Part
from littoral.core.resources.schema import MODULES, json_schema


def test_the_schema_is_json_and_every_reference_in_it_leads_somewhere() -> None:
    text = msgspec.json.encode(json_schema()).decode()
    names = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert names <= set(json_schema()["$defs"])
    assert {"Node", "App", "Namespace", "Rule"} <= names
    assert json_schema()["$id"].startswith("https://")
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("definition", "field", "description"),
    [
        (
            "NodeSpec",
            "statusInterval",
            'How often the node reports its own state up the tree. (A whole number and a unit: "250ms", "5m")',
        ),
        ("Parent", "joinUrl", "The parent's enrolment listener; the join token names one, this overrides it."),
        (
            "Listen",
            "api",
            'Operator API, durable streams, metrics. Plain HTTP; bearer token. ("host:port"; port 0 takes a free one)',
        ),
    ],
)
def test_fields_are_described_by_the_line_beneath_them(definition: str, field: str, description: str) -> None:
    assert json_schema()["$defs"][definition]["properties"][field]["description"] == description


def test_unknown_fields_are_not_allowed() -> None:
    for name, definition in json_schema()["$defs"].items():
        assert definition["additionalProperties"] is False, name


def test_the_types_of_all_documents_are_looked_at_for_such_lines() -> None:
    looked_at = {module.__name__ for module in MODULES}
    assert {each.__module__ for each in Part.__subclasses__()} <= looked_at
