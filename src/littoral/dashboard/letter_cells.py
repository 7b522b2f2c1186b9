"""Dead letters in words."""

from littoral.dashboard.cells import Cell, Line
from littoral.dashboard.texts import NONE, bytes_text, count_text, cut_text, duration_text, event_time_text
from littoral.node.letter_groups import LetterGroup
from littoral.node.letter_messages import Act, LetterEntry, LetterShown
from littoral.node.status import NodeStatus

REASON_CHARACTERS = 160
"""Of a line; the letter itself has the whole."""
HEAD_CHARACTERS = 40
STATES = {"open": "Open", "retried": "Retried with success", "dropped": "Dropped"}
PARTS = {
    "fold": "replication",
    "write": "key-value write",
    "window": "window of a rule",
    "alert": "alert of a rule",
    "reading": "rule",
}


def part_text(by: str) -> str:
    """Who put a letter aside."""
    kind, _, name = by.partition("/")
    if not kind:
        return "nobody can apply it again"
    return f"{PARTS.get(kind, kind)} {name}".strip()


def node_line(status: NodeStatus, *, is_picked: bool) -> Line:
    """A node with letters."""
    gone = status.dead_letters_ever - status.dead_letters
    return Line(
        status.node,
        (
            Cell(status.node, "shown below" if is_picked else ""),
            Cell(count_text(status.dead_letters), tone="warn" if status.dead_letters else ""),
            Cell(count_text(max(0, gone))),
        ),
    )


def group_line(group: LetterGroup, now_ms: int) -> Line:
    """Letters with one reason. Its name is what to look for to list them."""
    reason = cut_text(group.reason, REASON_CHARACTERS) if group.reason else "other reasons"
    return Line(
        group.containing,
        (
            Cell(reason, part_text(group.by)),
            Cell(count_text(group.count)),
            Cell(f"{duration_text(now_ms - group.last_ms)} ago"),
        ),
    )


def letter_line(entry: LetterEntry, now_ms: int) -> Line:
    """One letter of the list."""
    return Line(
        str(entry.offset),
        (
            Cell(cut_text(entry.source, REASON_CHARACTERS) or "(no source)", cut_text(entry.reason, REASON_CHARACTERS)),
            Cell("", _head(entry.head)),
            Cell(f"{duration_text(now_ms - entry.at_ms)} ago"),
            Cell(bytes_text(entry.size) if entry.size is not None else NONE),
        ),
    )


def letter_facts(letter: LetterShown) -> dict[str, Cell]:
    """All that is to be said of one letter beside its reason and its record."""
    state = Cell(STATES[letter.state], tone="warn" if letter.state == "open" else "ok")
    if letter.until_ms is not None:
        state = Cell(STATES[letter.state], f"{event_time_text(letter.until_ms)} UTC or before", "ok")
    return {
        "State": state,
        "Put aside": Cell(f"{event_time_text(letter.at_ms)} UTC"),
        "By": Cell(part_text(letter.by)),
        "Source": Cell(letter.source),
        "Size": Cell(bytes_text(letter.size) if letter.size is not None else NONE),
    }


def consequence(act: Act, node: str, which: str, *, is_far: bool) -> str:
    """What an action will do, said before it is done."""
    if act == "retry":
        text = (
            f"{which} applied again at {node}, as it would have been at first. What succeeds is done with; what fails"
            " again stays open, and you are told why."
        )
    else:
        text = (
            f"{which} marked as done with at {node}, without being applied. It cannot be retried after that. The stream"
            " dead-letters keeps it until retention takes it."
        )
    return f"{text} The node is asked by way of its inbox." if is_far else text


def _head(head: str) -> str:
    """The beginning of a record that is text; of another there is nothing to be seen in a line."""
    line = " ".join(head.split())
    if not line:
        return NONE
    return (
        cut_text(line, HEAD_CHARACTERS) if line.isprintable() and "\N{REPLACEMENT CHARACTER}" not in line else "bytes"
    )
