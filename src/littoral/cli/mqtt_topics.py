"""littoral mqtt topics."""

import base64
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import Cell, age, cut, print_json, print_table, printable
from littoral.cli.targets import at_node
from littoral.drivers.clock import SystemClock
from littoral.node.mqtt_messages import TOPICS, TopicEntry, TopicPage
from littoral.node.payload_text import payload_text

VALUE_COLUMNS = 60
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@at_node
def list_topics(
    api: ApiClient,
    prefix: Annotated[str, typer.Argument(help="Only this topic and those below it; $SYS for the broker's own.")] = "",
    levels: Annotated[
        int, typer.Option("--levels", "-L", min=0, help="Show so many levels; what lies deeper is one line a branch.")
    ] = 0,
    contains: Annotated[str, typer.Option(help="Only topics that contain this, in any case.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many lines; all if not given.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show the topics of a node's MQTT broker with their last values: those that are retained, and those that passed lately.

    A node remembers the last value of as many topics as limit mqtt-topic-values says, since its hub started.
    """
    query = {"prefix": prefix, "levels": str(levels), "text": contains}
    page = api.get(TOPICS, TopicPage, query)
    topics = page.topics
    while len(topics) < min(page.total, limit or page.total):
        more = api.get(TOPICS, TopicPage, {**query, "after": topics[-1].topic}).topics
        if not more:
            break
        topics = topics + more
    topics = topics[:limit]
    if as_json:
        print_json([_document(each) for each in topics])
        return
    now_ms = SystemClock().wall_ms()
    columns = ["TOPIC", "VALUE", "AGE", "COUNT", "RETAINED"]
    print_table(columns, [_row(each, now_ms) for each in topics], right=["AGE", "COUNT"])
    if page.total > len(topics):
        print(f"{page.total:,} in all")
    if page.left_out:
        print("not all retained messages were looked at: name a topic above those that you look for")
    if page.sampled:
        print("some messages were not noted: more passed than limit mqtt-topic-notes has for a second")


def _document(entry: TopicEntry) -> dict[str, Any]:
    """A topic as JSON: its value is text where it is UTF-8, or else in base64."""
    shown: dict[str, Any] = {"topic": entry.topic, "topics": entry.topics}
    if entry.payload is None:
        return shown
    try:
        shown["value"] = entry.payload.decode()
    except UnicodeDecodeError:
        shown["valueBase64"] = base64.b64encode(entry.payload).decode()
    at = None if entry.at_ms is None else datetime.fromtimestamp(entry.at_ms / 1000, tz=UTC)
    return {
        **shown,
        "bytes": entry.bytes,
        "at": at and at.isoformat(timespec="milliseconds"),
        "count": entry.count,
        "retained": entry.retained,
    }


def _row(entry: TopicEntry, now_ms: int) -> list[Cell]:
    below = entry.topics - (entry.payload is not None)
    name = printable(entry.topic) + (f"/…  {below:,} topic{'s' * (below != 1)}" if below else "")
    if entry.payload is None:
        return [name, "", "", "", ""]
    count = f"{entry.count:,}" if entry.count else ""
    value = _value(entry.payload, entry.bytes)
    return [name, value, age(entry.at_ms, now_ms), count, "yes" if entry.retained else ""]


def _value(payload: bytes, size: int) -> Cell:
    """The last value in one line; size: of the whole payload."""
    is_whole = size == len(payload)
    more = "" if is_whole else f" … of {size:,} bytes"
    return cut(payload_text(payload, is_whole=is_whole), VALUE_COLUMNS - len(more)).append(more)
