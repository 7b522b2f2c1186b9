from littoral.cli.top import milliseconds, sorted_lines
from littoral.functions.meters import FunctionMeter
from littoral.node.app_messages import AppEntry, AppFigures
from littoral.node.status import AppStatus


def entry(name: str, at_ms: int, calls: int) -> AppEntry:
    meter = FunctionMeter()
    for _ in range(calls):
        meter.answered(3000)
        meter.computed(1000)
    figures = AppFigures(at_ms, {"r1": meter}, workers=1, cold=2, memory_bytes=1 << 20)
    return AppEntry(name, "r1", AppStatus("r1", 1, 1, 0, running="r1"), figures)


def test_the_app_that_is_asked_most_now_is_the_first() -> None:
    before = {"much": entry("much", 0, 1000), "now": entry("now", 0, 10)}
    now = {
        "much": entry("much", 2000, 1000),
        "now": entry("now", 2000, 30),
        "new": entry("new", 2000, 5),
    }
    lines = sorted_lines(before, now)
    assert [line.app for line in lines] == ["now", "much", "new"]
    assert lines[0].rates is not None
    assert (lines[0].rates.calls_s, lines[0].calls, lines[0].memory_bytes) == (10, 30, 1 << 20)
    assert lines[2].rates is None, "one look says nothing of a rate"


def test_short_times_are_readable() -> None:
    assert [milliseconds(each) for each in (0.3, 25, 2500)] == ["0.3 ms", "25 ms", "2.5 s"]
