from msgspec.structs import replace

from littoral.dashboard.app_cells import app_line, busiest_first, exception_line, milliseconds_text, node_cells, totals
from littoral.dashboard.app_history import AppHistory
from littoral.functions.meters import FunctionMeter
from littoral.node.app_messages import AppEntry, AppFigures, RaisedGroup
from littoral.node.app_rates import AppRates, Quantiles
from littoral.node.status import AppStatus
from tests.support.statuses import status

RATES = AppRates(calls_s=20, errors_s=0.5, wall_ms=Quantiles(1.25, 12, 1500), cpu_share=0.031)


def entry(name: str = "shop", *, calls: int = 4, at_ms: int = 0, here: AppStatus | None = None) -> AppEntry:
    meter = FunctionMeter(waited=2, waited_us=9000)
    for _ in range(calls):
        meter.answered(2000)
        meter.computed(500)
    meter.errors = {"exception": 1, "timeout": 2}
    figures = AppFigures(at_ms, {"r1": meter}, workers=2, starting=1, cold=3, memory_bytes=5_000_000)
    return AppEntry(name, "r1", here or AppStatus("r1", 2, 3, 0, running="r1"), figures)


def test_an_app_is_shown_with_what_it_does_now_and_has_done() -> None:
    line = app_line(entry(), RATES, is_picked=True)
    assert [(cell.main, cell.sub, cell.tone) for cell in line.cells] == [
        ("shop", "r1, shown below", ""),
        ("20", "4 in all", ""),
        ("1.2 ms", "12 ms · 1.5 s", ""),
        ("0.5", "2 × timeout, 1 × exception", "bad"),
        ("3.1 %", "0.5 ms a call", ""),
        ("5.0 MB", "2 workers + 1 starting", ""),
        ("3", "waited 4.5 ms", ""),
        ("runs", "", "ok"),
    ]


def test_before_anything_is_known_nothing_is_made_up() -> None:
    waiting = AppEntry("shop", "r2", AppStatus("r2", 0, 0, 0, progress="fetching 1 of 2 blobs"))
    line = app_line(waiting, None, is_picked=False)
    assert [cell.main for cell in line.cells] == ["shop", "–", "–", "–", "–", "–", "0", "starting"]
    assert (line.cells[0].sub, line.cells[-1].sub) == ("has not started", "fetching 1 of 2 blobs")
    ill = app_line(entry(here=AppStatus("r2", 2, 3, 0, "no such module", running="r1")), None, is_picked=False)
    assert (ill.cells[-1].sub, ill.cells[-1].tone) == ("no such module", "bad")
    assert ill.cells[2].main.endswith("in all"), (
        "where nothing was asked lately, what was before is shown, and said to be"
    )


def test_all_apps_together_and_the_busiest_first() -> None:
    entries = [entry("a", calls=1), entry("b"), entry("c", calls=9)]
    assert [each.name for each in busiest_first(entries, {"b": RATES})] == ["b", "c", "a"]
    figures = totals(entries, {"b": RATES, "a": RATES})
    assert (figures["Calls/s"].main, figures["Calls/s"].sub) == ("40", "14 in all")
    assert (figures["Memory"].main, figures["Workers"].sub) == ("15 MB", "for 3 apps")
    assert totals([], {})["Memory"].main == "–"
    reported = replace(status("edge"), apps={"a": AppStatus("r1", 2, 3, 0, "ill")})
    assert [cell.main for cell in node_cells(reported)] == ["1", "2"]


def test_exceptions_are_named_by_what_and_where() -> None:
    group = RaisedGroup("KeyError", "src/entry.py:1 in f", "r1", 1200, 0, 0, "'" + "x" * 900, "r-1", "GET /", "trace")
    line = exception_line(group, "3 s ago", is_picked=False)
    assert [cell.main for cell in line.cells] == ["KeyError", "src/entry.py:1 in f", "1\u202f200", "3 s ago"]
    assert len(line.cells[0].sub) < 300


def test_short_times_have_as_many_digits_as_mean_something() -> None:
    assert [milliseconds_text(each) for each in (0.25, 9.94, 12.4, 999, 1500)] == [
        "0.2 ms",
        "9.9 ms",
        "12 ms",
        "999 ms",
        "1.5 s",
    ]


def test_a_history_has_a_point_for_each_look_that_says_something_new() -> None:
    history = AppHistory()
    for at_ms, calls in ((1000, 10), (1500, 15), (4000, 40), (4000, 40), (7000, 70)):
        history.add("edge", [entry(calls=calls, at_ms=at_ms)])
    assert [(point.at_ms, point.rates["shop"].calls_s) for point in history.points] == [(4000, 10), (7000, 10)]
    assert history.recently()["shop"].calls_s == 10
    assert (history.busiest(), history.revision) == (["shop"], 2)
    history.add("edge", [entry(calls=3, at_ms=10_000)])
    assert history.points[-1].rates == {}, "a hub that began anew"
    history.add("other", [entry(at_ms=10_000)])
    assert (list(history.points), history.recently()) == ([], {})
