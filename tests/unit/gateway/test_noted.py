"""Notes of requests, and what clients are told of them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from littoral.gateway.field_block import FieldBlock
from littoral.gateway.noted import Noted
from littoral.gateway.notes import ORIGIN, PARENT, STEPS_MOST, Notes, step
from tests.support.exchanges import MemoryExchange
from tests.support.fakes import FakeClock

HIT = [("cache-status", "region; fwd=uri-miss, littoral; hit; ttl=3")]


class Story:
    """A request that is answered while a clock goes on."""

    def __init__(self, *, shows_timing: bool = False) -> None:
        self.clock = FakeClock()
        self.notes = Notes(self.clock.monotonic_s, self.clock.monotonic_s(), shows_timing=shows_timing)
        self.client = MemoryExchange()
        self.exchange = Noted(self.client, self.notes)

    def wait(self, milliseconds: int) -> None:
        self.clock.advance(seconds=milliseconds / 1000)

    def shown(self) -> list[tuple[int, str, str, int, int]]:
        return [
            (each.depth, each.name, each.detail, round(each.began_ms), round(each.length_ms or 0))
            for each in self.notes.steps
        ]


def play(story: Story, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def test_steps_lie_below_those_that_go_on_around_them() -> None:
    story = Story()
    with step(story.notes, ORIGIN, "http://a"):
        story.wait(1)
        with step(story.notes, "connect"):
            story.wait(2)
        story.wait(4)
    with step(story.notes, ORIGIN, "http://b") as tried:
        story.wait(8)
        tried.answered(200, [("a", "b")])
    assert story.shown() == [
        (0, "origin", "http://a", 0, 7),
        (1, "connect", "", 1, 2),
        (0, "origin", "http://b", 7, 8),
    ]
    notes = story.notes
    assert (notes.origin, notes.tries) == ("http://b", 2)
    assert {name: round(length_ms) for name, length_ms in notes.asked_ms().items()} == {"origin": 15}
    assert (notes.steps[2].status, notes.steps[2].fields) == (200, [("a", "b")])


def test_what_ends_a_step_is_why_it_failed_and_goes_on() -> None:
    story = Story()
    for error in (OSError("connection refused"), asyncio.CancelledError()):
        with pytest.raises(type(error)), step(story.notes, "connect"):
            raise error
    assert [each.failure for each in story.notes.steps] == ["connection refused", "given up"]
    assert [each.depth for each in story.notes.steps] == [0, 0]


def test_where_nobody_takes_notes_none_are_taken() -> None:
    with step(None, ORIGIN) as tried:
        tried.answered(200, ())
    with pytest.raises(OSError, match="refused"), step(None, ORIGIN):
        raise OSError("refused")


def test_notes_do_not_grow_without_end() -> None:
    story = Story()
    for _ in range(STEPS_MOST + 1):
        with step(story.notes, "connect"):
            pass
    assert len(story.notes.steps) == STEPS_MOST


def test_a_body_is_a_step_from_its_head_to_its_end() -> None:
    story = Story()

    async def scenario() -> None:
        story.wait(1)
        await story.exchange.begin(200, FieldBlock([("a", "b")]), [("c", "d")])
        story.wait(2)
        await story.exchange.send(b"hello")
        await story.exchange.end()

    play(story, scenario)
    assert story.shown() == [(0, "body", "", 1, 2)]
    notes = story.notes
    assert (notes.status, [*notes.fields, *notes.extra], round(notes.first_ms or 0)) == (
        200,
        [("a", "b"), ("c", "d")],
        1,
    )
    assert (story.client.sent, story.client.ended, story.exchange.sent_bytes) == (b"hello", True, 5)
    assert not notes.aborted


def test_a_body_that_breaks_off_says_so() -> None:
    story = Story()

    async def scenario() -> None:
        await story.exchange.begin(200, FieldBlock(()), ())
        story.exchange.abort()

    play(story, scenario)
    assert (story.notes.aborted, story.notes.steps[0].failure, story.client.aborted) == (True, "it broke off", True)


def test_what_is_answered_is_what_the_client_gets() -> None:
    story = Story()
    story.exchange.inform(103, [("link", "</a>")])
    story.exchange.respond(404, FieldBlock([("a", "b")]), [("c", "d")], b"gone")
    assert (story.client.status, story.client.answered, story.client.sent) == (404, [("a", "b"), ("c", "d")], b"gone")
    assert story.client.informed == [103]


def test_a_client_is_told_where_the_time_went_if_the_route_says_so() -> None:
    for streams in (False, True):
        story = Story(shows_timing=True)

        async def scenario(story: Story = story, *, streams: bool = streams) -> None:
            with step(story.notes, ORIGIN, "http://a"):
                story.wait(12)
            with step(story.notes, PARENT, "region"):
                story.wait(3)
            if streams:
                await story.exchange.begin(200, FieldBlock(HIT), ())
            else:
                story.exchange.respond(200, FieldBlock(()), HIT, b"")

        play(story, scenario)
        assert story.client.answered == [
            *HIT,
            ("server-timing", "cache;desc=hit, origin;dur=12.0, parent;dur=3.0, total;dur=15.0"),
        ]


def test_what_did_not_happen_is_not_told() -> None:
    story = Story(shows_timing=True)
    story.exchange.respond(200, FieldBlock(()), (), b"")
    assert story.client.answered == [("server-timing", "total;dur=0.0")]
