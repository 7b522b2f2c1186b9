"""Writes docs/reference/cli.md from the commands' own help. `make docs` runs it; a test fails when the page is old."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer
from typer.core import TyperGroup

from littoral.cli.main import make_root
from littoral.cli.node_list import NodeLine
from littoral.node.letter_messages import LetterEntry
from littoral.node.link_control import LinkEntry
from littoral.node.operator_messages import ResourceEntry
from littoral.node.status import NodeStatus
from littoral.node.stream_messages import StreamEntry
from littoral.store.check import CheckReport

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"

HEAD = """\
# Command line

`littoral --help`, and `--help` after each command, say the same as this page, which is written by `make docs`.

## For all commands

| exit code | meaning |
|---:|---|
| 0 | done |
| 1 | failed: stderr says what could not be done, why, and what to do about it |
| 2 | wrong usage |
| 130 | ended by Ctrl-C |

What a command is for goes to stdout; errors, notes and progress go to stderr. Without a terminal, or with `NO_COLOR` set,
all of it is plain text. `LITTORAL_DEBUG=1` adds to an error where in the source it came from.

**Which node.** Commands that ask a node find it by the first of these that is given:

| option | node |
|---|---|
| `--url URL` | the one whose operator API is there, with its token: `--token-file`, `--token` or `LITTORAL_TOKEN` |
| `--data-dir DIR` | the one on this machine that keeps its data there; the command reads address and token from it |
| `--node NAME` | the one of that name in the local tree that `littoral up` runs |
| `LITTORAL_URL` | as `--url` |
| nothing | the root of the local tree |

With `--at NODE` that node asks another one, below it, which cannot be reached itself; `--deadline` says how long it has to
answer ([Reach a node behind NAT](../howto/reach-a-node-behind-nat.md)).

The local tree is the one whose state directory is `--tree`, `LITTORAL_TREE`, or `.littoral` in the working directory. The
operator token of a node is `identity/operator.token` in its data directory: who can read it may operate the node.
"""

JSON_HEAD = """
## Output of `--json`

One JSON document. Fields are added; none is taken away or changes its meaning within a major version.
"""

LISTINGS: dict[str, type[msgspec.Struct]] = {
    "littoral status --json": NodeStatus,
    "littoral node list --json": NodeLine,
    "littoral resource list --json": ResourceEntry,
    "littoral stream list --json": StreamEntry,
    "littoral dlq list --json": LetterEntry,
    "littoral wan list --json": LinkEntry,
}
REPORTS: dict[str, type[msgspec.Struct]] = {"littoral store check --json": CheckReport}


def commands(group: TyperGroup, prefix: str, context: Any) -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{prefix} {name}", context)
        else:
            yield f"{prefix} {name}", command


def section(name: str, command: Any, context: Any) -> str:
    """One command."""
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    text = f"\n### {name}\n\n{command.help}\n\n```\n{usage}\n```\n"
    records = [param.get_help_record(context) for param in command.get_params(context)]
    rows = [(left, right) for left, right in filter(None, records) if left.strip() != "--help"]
    if rows:
        text += "\n| | |\n|---|---|\n" + "".join(f"| `{cell(left)}` | {cell(right)} |\n" for left, right in rows)
    return text


def cell(text: str) -> str:
    """Text that may stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def listing(command: str, kind: type[msgspec.Struct], what: str) -> str:
    """The fields of a listing's entries, or of a report."""
    (schema,), definitions = msgspec.json.schema_components([kind], ref_template="{name}")
    text = f"\n### {command}\n\n{what}:\n"
    waiting = [schema["$ref"]]
    for name in waiting:
        definition = definitions[name]
        if name != schema["$ref"]:
            text += f"\n{name}:\n"
        text += "\n| field | type |\n|---|---|\n"
        for field, member in definition["properties"].items():
            text += f"| `{field}` | {cell(type_of(member, waiting))} |\n"
    return text


def type_of(member: dict[str, Any], seen: list[str]) -> str:
    """A JSON Schema in words; what it refers to is added to `seen`."""
    if "$ref" in member:
        if member["$ref"] not in seen:
            seen.append(member["$ref"])
        return str(member["$ref"])
    if "anyOf" in member:
        return " or ".join(type_of(each, seen) for each in member["anyOf"])
    if "enum" in member:
        return " or ".join(f"`{each}`" for each in member["enum"])
    if member.get("type") == "array":
        return f"array of {type_of(member['items'], seen)}"
    if member.get("type") == "object":
        return f"object of {type_of(member['additionalProperties'], seen)}"
    return str(member["type"])


def page() -> str:
    """The whole page."""
    root = make_root()
    context = typer.Context(root, info_name="littoral")
    text = HEAD + "\n## Commands\n"
    for name, command in commands(root, "littoral", context):
        text += section(name, command, context)
    text += JSON_HEAD
    for name, kind in LISTINGS.items():
        text += listing(name, kind, "An array of")
    for name, kind in REPORTS.items():
        text += listing(name, kind, "An object")
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
