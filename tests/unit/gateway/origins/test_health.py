"""Whether a target is well."""

import pytest

from littoral.gateway.origins.health import Active, Passive
from littoral.gateway.origins.settings import ActiveHealth, PassiveHealth
from littoral.testing.random import SeededRandom

PASSIVE = PassiveHealth(failures_in_a_row=3, window_s=10, window_requests=4, ejected_s=10, ejected_most_s=25)


def transcript(health, said, now_s=0.0):
    """What each request says: "+" was answered, "-" was not; "!" where the target should be ejected."""
    heard = ""
    for each in said:
        if each == "+":
            health.succeeded(now_s)
            heard += "."
        else:
            heard += "!" if health.failed(now_s) else "."
    return heard


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("---", "..!"),
        ("--+--", "...!!"),
        ("--+-", "...!"),
        ("-+-+", "...."),
        ("++-+--", ".....!"),
        ("+++-++-", "......."),
    ],
)
def test_failures_in_a_row_or_a_share_of_them_eject(said, heard):
    """In a window of four requests half may not fail."""
    assert transcript(Passive(PASSIVE), said) == heard


def test_a_window_forgets():
    health = Passive(PASSIVE)
    assert transcript(health, "+-+", 0) == "..."
    assert transcript(health, "-", 11) == "."
    assert transcript(health, "+-+", 22) == "..."


def test_who_was_ejected_gets_nothing_for_a_while_each_time_longer():
    health = Passive(PASSIVE)
    assert not health.is_ejected(0)
    spans = []
    now_s = 0.0
    for _ in range(4):
        assert transcript(health, "---", now_s) == "..!"
        health.eject(now_s)
        assert health.is_ejected(now_s)
        assert transcript(health, "---", now_s) == "...", "it is already"
        spans.append(health.ejected_until_s - now_s)
        now_s = health.ejected_until_s
        assert not health.is_ejected(now_s)
    assert spans == [10, 20, 25, 25]


def test_what_led_to_an_ejection_does_not_lead_to_the_next():
    health = Passive(PassiveHealth(failures_in_a_row=3, window_s=100, window_requests=4, ejected_s=10))
    transcript(health, "---", 0)
    health.eject(0)
    assert transcript(health, "--", 11) == ".."


def test_a_good_window_ends_the_row_of_ejections():
    health = Passive(PASSIVE)
    health.eject(0)
    health.eject(10)
    assert health.ejected_until_s == 30
    transcript(health, "+", 31)
    transcript(health, "+", 42)
    transcript(health, "+", 53)
    health.eject(60)
    assert health.ejected_until_s == 70


ACTIVE = ActiveHealth("/", healthy_after=2, unhealthy_after=3)


@pytest.mark.parametrize(
    ("answers", "healthy"),
    [
        ([200], "+"),
        ([503], "-"),
        ([None], "-"),
        ([503, 200, 200], "--+"),
        ([503, 200, 503, 200, 200], "----+"),
        ([200, None, 500, 404], "+++-"),
        ([200, None, None, 200, None, None, None], "++++++-"),
        ([200, 399, 400], "+++"),
        ([199], "-"),
        ([399], "+"),
        ([400], "-"),
    ],
)
def test_answers_move_it_between_healthy_and_not(answers, healthy):
    health = Active(ACTIVE)
    assert health.is_healthy, "until it is known"
    seen = ""
    for status in answers:
        health.answered(status)
        seen += "-+"[health.is_healthy]
    assert seen == healthy


def test_which_answers_are_good_can_be_said():
    health = Active(ActiveHealth("/", statuses=frozenset({204, 401}), unhealthy_after=1, healthy_after=1))
    seen = ""
    for status in [204, 200, 401, 403, None]:
        health.answered(status)
        seen += "-+"[health.is_healthy]
    assert seen == "+-+--"


def test_checks_do_not_come_all_at_once():
    health, random = Active(ActiveHealth("/", interval_s=10, jitter_share=0.2)), SeededRandom(1)
    delays = [health.next_delay_s(random) for _ in range(100)]
    assert 8 <= min(delays) < 9
    assert 11 < max(delays) <= 12
