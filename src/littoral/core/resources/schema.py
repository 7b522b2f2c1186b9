"""The JSON Schema of `littoral/v1`, for editors. Everything in it comes from the types: what they allow, and their docstrings."""

import ast
import inspect
from functools import cache
from typing import Any

import msgspec

from littoral.core.resources import (
    access_log,
    app,
    app_assets,
    app_events,
    global_topics,
    model,
    mqtt,
    mqtt_authenticator,
    mqtt_bridge,
    namespace,
    part,
    rule,
    web,
)

SCHEMA_ID = "https://littoral.dev/schema/littoral-v1.json"
MODULES = (
    part,
    model,
    access_log,
    mqtt,
    mqtt_authenticator,
    mqtt_bridge,
    app,
    app_assets,
    app_events,
    namespace,
    rule,
    web,
    global_topics,
)
"""Those with the types of documents."""
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) for one document of any kind. Rules that span fields are not in it."""
    schema = msgspec.json.schema(model.Resource)
    for name, definition in schema["$defs"].items():
        for field, text in _field_docs().get(name, {}).items():
            member = definition["properties"][field]
            note = member.get("description")
            member["description"] = text if note is None else f"{text} ({note})"
    head = {"$schema": _DIALECT, "$id": SCHEMA_ID, "title": "littoral/v1", "description": "A Littoral resource."}
    return head | schema


@cache
def _field_docs() -> dict[str, dict[str, str]]:
    """The line beneath each field, by class and camelCase name. Python does not keep them at run time."""
    docs: dict[str, dict[str, str]] = {}
    for node in [each for module in MODULES for each in ast.parse(inspect.getsource(module)).body]:
        if not isinstance(node, ast.ClassDef):
            continue
        for statement, after in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                name = _camel(statement.target.id)
                docs.setdefault(node.name, {})[name] = inspect.cleandoc(str(after.value.value)).replace("\n", " ")
    return docs


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
