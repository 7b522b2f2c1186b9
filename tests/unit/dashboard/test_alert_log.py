"""The latest alerts, once each."""

from littoral.dashboard.alert_log import ALERTS, AlertLog
from littoral.dashboard.records import Alert


def alert(number: int) -> Alert:
    return Alert(id=str(number), rule="machine", node="plant-a", key="k", ts=number, value=1.0)


def test_an_alert_that_comes_again_is_the_same() -> None:
    log = AlertLog()
    for number in (1, 2, 1):
        log.add(alert(number))
    assert [each.id for each in log.since(0)] == ["1", "2"]


def test_a_reader_gets_what_it_has_not_seen() -> None:
    log = AlertLog()
    log.add(alert(1))
    seen = log.count
    assert log.since(seen) == []
    log.add(alert(2))
    assert [each.id for each in log.since(seen)] == ["2"]


def test_the_log_is_bounded_and_a_reader_that_was_away_gets_what_is_left() -> None:
    log = AlertLog()
    for number in range(ALERTS + 30):
        log.add(alert(number))
    left = log.since(0)
    assert (len(left), left[0].id, left[-1].id) == (ALERTS, "30", str(ALERTS + 29))
