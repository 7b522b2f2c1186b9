"""What open letters have in common, through the operator API."""

from littoral.node.letter_groups import GROUPED_LETTERS, GROUPS
from littoral.store.dead_letters import DeadLetter
from tests.unit.node.test_letter_desk import Asked, letter, play


def told(reason: str, at_ms: int = 5, by: str = "reading/r") -> DeadLetter:
    return DeadLetter("topic", reason, "", at_ms, by=by)


def test_reasons_that_differ_in_numbers_are_one_group_the_largest_first(seed: int):
    async def story(root: Asked) -> None:
        await root.put(
            told("offset 12 of 40: odd", 7), told("other"), told("offset 3 of 9: odd", 9), told("other", by="")
        )
        survey = await root.json("GET", "/v1/dead-letters/groups")
        assert (survey["looked_at"], survey["open"]) == (4, 4)
        first, *rest = survey["groups"]
        assert first == {
            "by": "reading/r",
            "reason": "offset # of #: odd",
            "containing": "offset",
            "count": 2,
            "last_ms": 9,
        }
        assert [(group["by"], group["count"]) for group in rest] == [("reading/r", 1), ("", 1)]
        assert await root.offsets(reason=first["containing"]) == [0, 2]

    play(story, seed)


def test_what_is_done_with_does_not_count_and_none_is_no_group(seed: int):
    async def story(root: Asked) -> None:
        assert (await root.json("GET", "/v1/dead-letters/groups"))["groups"] == []
        await root.put(letter(0), letter(1))
        await root.json("POST", "/v1/dead-letters/0/drop")
        survey = await root.json("GET", "/v1/dead-letters/groups")
        assert [group["count"] for group in survey["groups"]] == [1]

    play(story, seed)


def test_very_many_letters_are_looked_at_in_part_and_groups_are_bounded(seed: int):
    async def story(root: Asked) -> None:
        for start in range(0, GROUPED_LETTERS + 200, 100):
            await root.put(*(told("x" * (number % 70)) for number in range(start, start + 100)))
        survey = await root.json("GET", "/v1/dead-letters/groups")
        assert (survey["looked_at"], survey["open"]) == (GROUPED_LETTERS, GROUPED_LETTERS + 200)
        assert len(survey["groups"]) == GROUPS + 1
        assert sum(group["count"] for group in survey["groups"]) == GROUPED_LETTERS
        assert "" in [group["reason"] for group in survey["groups"] if not group["by"]]

    play(story, seed)
