"""Starting a few workers at a time."""

from functools import partial

from littoral.core.limits import Limits
from littoral.functions.hub.starts import StartQueue


def test_as_many_start_as_may_and_those_that_are_waited_for_come_first() -> None:
    started: list[str] = []
    limits = Limits({"function-starts": 2})
    queue = StartQueue(limits)
    for app in "abcde":
        queue.ask((app, 0), partial(started.append, app), urgent=False)
    assert started == ["a", "b"]
    assert limits.reached["function-starts"] == 3
    queue.ask(("f", 0), partial(started.append, "f"), urgent=True)
    queue.hurry("e")
    queue.ended(("a", 0))
    queue.ended(("b", 0))
    assert started == ["a", "b", "e", "f"]
    queue.forget("c")
    queue.ended(("e", 0))
    assert started[4:] == ["d"]
    queue.ended(("f", 0))
    assert started[5:] == []


def test_what_is_asked_for_twice_starts_once_as_it_was_asked_for_last() -> None:
    started: list[str] = []
    queue = StartQueue(Limits({"function-starts": 1}))
    queue.ask(("a", 0), partial(started.append, "a"), urgent=False)
    queue.ask(("b", 0), partial(started.append, "first"), urgent=False)
    queue.ask(("b", 0), partial(started.append, "second"), urgent=True)
    queue.ended(("a", 0))
    queue.ended(("b", 0))
    assert started == ["a", "second"]


def test_nothing_starts_that_was_asked_of_a_zygote_that_is_gone() -> None:
    started: list[str] = []
    queue = StartQueue(Limits({"function-starts": 1}))
    queue.ask(("a", 0), partial(started.append, "a"), urgent=False)
    queue.ask(("b", 0), partial(started.append, "b"), urgent=False)
    queue.clear()
    queue.ask(("c", 0), partial(started.append, "c"), urgent=False)
    assert started == ["a", "c"]
