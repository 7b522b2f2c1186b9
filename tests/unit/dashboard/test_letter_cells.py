"""Dead letters in words."""

import msgspec
import pytest

from littoral.dashboard.letter_cells import consequence, group_line, letter_facts, letter_line, node_line, part_text
from littoral.node.letter_groups import LetterGroup
from littoral.node.letter_messages import LetterEntry, LetterShown
from tests.support.statuses import NOW_MS, status

HOSTILE = '<img src=x onerror="alert(1)">'
ENTRY = LetterEntry(7, NOW_MS - 5_000, "press/1", f"rule r: {HOSTILE}", "reading/r", 30, '{"bar": 5.5}\n')


@pytest.mark.parametrize(
    ("by", "text"),
    [
        ("reading/press", "rule press"),
        ("fold/kv", "replication kv"),
        ("other/x", "other x"),
        ("", "nobody can apply it again"),
    ],
)
def test_who_put_a_letter_aside(by: str, text: str) -> None:
    assert part_text(by) == text


def test_a_line_shows_markup_as_it_is_and_is_bounded() -> None:
    line = letter_line(ENTRY, NOW_MS)
    assert (line.name, line.target) == ("7", "")
    assert [cell.main for cell in line.cells] == ["press/1", "", "5 s ago", "30 B"]
    assert (line.cells[0].sub, line.cells[1].sub) == (f"rule r: {HOSTILE}", '{"bar": 5.5}')
    long = letter_line(msgspec.structs.replace(ENTRY, source="s" * 999, reason="r" * 999, head="h" * 999), NOW_MS)
    assert max(len(cell.main) + len(cell.sub) for cell in long.cells) <= 400


@pytest.mark.parametrize(
    ("head", "shown"), [("\x00\x01", "bytes"), ("a\ufffdb", "bytes"), ("", "–"), (" a\n b ", "a b")]
)
def test_the_beginning_of_a_record_is_shown_in_one_line_if_it_is_text(head: str, shown: str) -> None:
    assert letter_line(msgspec.structs.replace(ENTRY, head=head), NOW_MS).cells[1].sub == shown


def test_a_group_is_named_by_what_finds_its_letters() -> None:
    group = LetterGroup("reading/r", "rule r: offset # is odd", "rule r: offset", 12, NOW_MS - 61_000)
    line = group_line(group, NOW_MS)
    assert (line.name, line.cells[0].main, line.cells[1].main) == ("rule r: offset", group.reason, "12")
    assert group_line(msgspec.structs.replace(group, reason=""), NOW_MS).cells[0].main == "other reasons"


def test_a_letter_that_is_done_with_says_since_when() -> None:
    fields = msgspec.structs.asdict(ENTRY)
    shown = LetterShown(**fields, record=b"x", state="dropped", until_ms=NOW_MS)
    assert (letter_facts(shown)["State"].main, letter_facts(shown)["State"].tone) == ("Dropped", "ok")
    assert letter_facts(shown)["State"].sub == "2023-11-14 22:13:20 UTC or before"


def test_what_will_happen_is_said_before_it_does() -> None:
    retry = consequence("retry", "cloud", "The letter is", is_far=False)
    assert retry.startswith("The letter is applied again at cloud")
    drop = consequence("drop", "plant-a", "The letter is", is_far=True)
    assert "cannot be retried after that" in drop
    assert drop.endswith("by way of its inbox.")


def test_a_node_says_how_many_are_open() -> None:
    has = msgspec.structs.replace(status("plant-a", parent="eu", dead_letters=2), dead_letters_ever=5)
    assert [cell.main for cell in node_line(has, is_picked=True).cells] == ["plant-a", "2", "3"]
