"""Writes docs/reference/limits.md from littoral.core.limits. `make docs` runs it; a test fails when the page is old."""

from pathlib import Path

from littoral.core.limit import Limit
from littoral.core.limits import LIMITS

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "limits.md"

HEAD = """\
# Limits

Every queue, buffer, cache, stream, retry and body of a node is bounded by one of these. A node's document sets its own
values under `spec.limits`, by name. Each time a limit is reached, `littoral_limit_reached_total{limit="<name>"}` of the
node's `/metrics` counts it.

This page is written by `make docs` from `littoral.core.limits`.

What happens at the limit:

| policy | meaning |
|---|---|
| reject | what is over the limit is refused, and its sender is told |
| drop-oldest | the oldest give way to the newest |
| spill | what does not fit in memory goes to disk |
| wait | the work is done in more pieces, later, or more slowly; nothing is refused or lost |
| close | the connection is closed |
| kill | the process that is over the limit is killed and restarted |

| limit | default | at most | unit | policy | because |
|---|---:|---:|---|---|---|
"""


def row(limit: Limit) -> str:
    """One line of the table."""
    most = "" if limit.maximum is None else f"{limit.maximum:,}"
    return f"| `{limit.name}` | {limit.default:,} | {most} | {limit.unit} | {limit.policy} | {limit.reason} |\n"


def page() -> str:
    """The whole page."""
    return HEAD + "".join(row(limit) for limit in LIMITS.values())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
