"""Writes docs/reference/resources.md from the schema. `make docs` runs it; a test fails when the page is old."""

import re
from pathlib import Path
from typing import Any

import msgspec

from littoral.core.resources.schema import json_schema

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "resources.md"

HEAD = """\
# Resources

Documents of `apiVersion: littoral/v1`, in YAML. `littoral validate` checks them, with file, line and field of what is
wrong; `littoral schema` prints the JSON Schema that this page is written from by `make docs`. A field that is not listed
here is an error.

A `Node` says how a process on one machine runs, and is given to `littoral node run --config`. The other kinds are the
desired state of the tree, and are given to `littoral apply`.
"""

EMPTY: tuple[object, ...] = ("", [], {}, None)


def page() -> str:
    """The whole page."""
    schema = json_schema()
    kinds = [reference(each) for each in schema["anyOf"]]
    text = HEAD
    shown: set[str] = set()
    for kind in kinds:
        text += f"\n## {kind}\n"
        waiting = [kind]
        for name in waiting:
            if name in shown:
                continue
            shown.add(name)
            text += part(name, schema["$defs"][name], waiting, is_kind=name == kind)
    return text


def part(name: str, definition: dict[str, Any], waiting: list[str], *, is_kind: bool) -> str:
    """One object: what it is, and its fields."""
    text = f"\n{definition['description']}\n" if is_kind else f"\n### {name}\n\n{one_line(definition['description'])}\n"
    text += "\n| field | type | default | |\n|---|---|---|---|\n"
    required = definition.get("required", ())
    for field, member in definition["properties"].items():
        default = "required" if field in required else default_of(member)
        text += f"| `{field}` | {type_of(member, waiting)} | {default} | {one_line(description_of(member))} |\n"
    return text


def reference(member: dict[str, Any]) -> str:
    """The name a $ref leads to."""
    return str(member["$ref"]).removeprefix("#/$defs/")


def default_of(member: dict[str, Any]) -> str:
    """The default, where it is worth saying."""
    default = member.get("default")
    if default in EMPTY or isinstance(default, dict):
        return ""
    return f"`{msgspec.json.encode(default).decode()}`"


def description_of(member: dict[str, Any]) -> str:
    """What is said of a field, or of its only type."""
    if "description" in member:
        return str(member["description"])
    said = [str(each["description"]) for each in member.get("anyOf", ()) if "description" in each]
    return said[0] if len(said) == 1 else ""


def type_of(member: dict[str, Any], waiting: list[str]) -> str:
    """A type in words; objects it refers to are added to `waiting`."""
    if "$ref" in member:
        name = reference(member)
        waiting.append(name)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in member:
        return " or ".join(type_of(each, waiting) for each in member["anyOf"] if each.get("type") != "null")
    if "enum" in member:
        return ", ".join(f"`{each}`" for each in member["enum"])
    if member.get("type") == "array":
        return f"list of {type_of(member['items'], waiting)}"
    if member.get("type") == "object":
        return (
            f"map of {type_of(member['additionalProperties'], waiting)}" if "additionalProperties" in member else "map"
        )
    low, high = member.get("minimum"), member.get("maximum")
    bounds = [f"from {low:,}"] if low is not None else []
    bounds += [f"to {high:,}"] if high is not None else []
    bounds += [f"above {member['exclusiveMinimum']:g}"] if "exclusiveMinimum" in member else []
    return " ".join([str(member["type"]), *bounds])


def one_line(text: str) -> str:
    """Text that may stand in a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
