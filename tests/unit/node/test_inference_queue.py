"""Whose run is next."""

from littoral.node.inference_queue import TurnQueue


def drained(queue: TurnQueue[str]) -> list[str]:
    found = []
    while (item := queue.next()) is not None:
        found.append(item)
    return found


def test_apps_take_turns():
    queue: TurnQueue[str] = TurnQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        queue.add(item[0], item)
    assert (len(queue), queue.waiting("a"), queue.waiting("z")) == (6, 3, 0)
    assert drained(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_what_nobody_waits_for_is_gone():
    queue: TurnQueue[str] = TurnQueue()
    for item in ("a1", "a2", "b1"):
        queue.add(item[0], item)
    queue.drop(lambda item: item in {"a1", "b1"})
    assert (len(queue), drained(queue)) == (1, ["a2"])
