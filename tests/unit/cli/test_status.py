"""What `littoral status` makes of reports."""

import msgspec
import pytest

from littoral.cli.status import budget_text, problems, queues
from tests.support.statuses import EXHAUSTED, NOW_MS, status


def test_a_queue_is_told_with_its_age_its_rate_and_its_end():
    report = status("plant-a", parent="eu", waiting={"telemetry": (12_400, NOW_MS - 190_000)}, flow=(850.4, 15.3))
    assert list(queues(report)) == ["plant-a: telemetry: 12,400 waiting, oldest 3m, 850/s, empty in 15s"]


def test_a_queue_that_does_not_shrink_has_no_end():
    report = status("plant-a", parent="eu", waiting={"alerts": (3, NOW_MS - 5_000), "bulk": (1, NOW_MS - 9_000)})
    assert list(queues(report)) == [
        "plant-a: alerts: 3 waiting, oldest 5s, 0/s",
        "plant-a: bulk: 1 waiting, oldest 9s, 0/s",
    ]


def test_what_is_on_its_way_is_no_queue():
    assert list(queues(status("plant-a", parent="eu", waiting={"state": (1, NOW_MS - 300)}))) == []


@pytest.mark.parametrize(("stops", "said"), [(False, "only control and alerts are"), (True, "nothing is")])
def test_a_budget_that_is_exhausted_is_told_with_what_goes_on_and_until_when(stops, said):
    budget = msgspec.structs.replace(EXHAUSTED, stops=stops)
    (line,) = problems(status("plant-a", parent="eu", budget=budget))
    assert line == f"plant-a: link: {budget_text(budget)}"
    assert line.endswith(f"3.0 MiB of 2.0 MiB this day are used; {said} sent until 2023-11-15 00:00 UTC")
