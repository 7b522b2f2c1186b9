from hypothesis import given
from hypothesis import strategies as st

from littoral.iot.rules.sequence import NUMBER_MOST, REMEMBERED, SeenNumbers


@given(st.lists(st.one_of(st.integers(0, 40), st.integers(1000, 1070), st.integers(0, NUMBER_MOST)), max_size=60))
def test_new_is_what_was_not_seen_and_is_not_far_below(numbers):
    seen = SeenNumbers()
    known: set[int] = set()
    for number in numbers:
        is_far_below = bool(known) and number <= max(known) - REMEMBERED
        assert seen.add(number) == (number not in known and not is_far_below)
        known.add(number)


def test_the_last_1024_numbers_are_remembered_one_by_one():
    seen = SeenNumbers()
    assert seen.add(2000)
    assert seen.add(2000 - REMEMBERED + 1)
    assert not seen.add(2000 - REMEMBERED)
    assert not seen.add(2000 - REMEMBERED + 1)


def test_a_device_that_sends_its_history_again_changes_nothing():
    seen = SeenNumbers()
    assert all(seen.add(number) for number in range(5000))
    assert not any(seen.add(number) for number in range(5000))
    assert seen.add(5000)


def test_saved_and_loaded_it_knows_the_same():
    seen = SeenNumbers()
    for number in (0, 3, 700):
        seen.add(number)
    again = SeenNumbers()
    again.load(seen.save())
    assert [again.add(number) for number in (0, 1, 3, 700, 701)] == [False, True, False, False, True]
