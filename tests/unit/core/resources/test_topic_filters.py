from hypothesis import given
from hypothesis import strategies as st

from littoral.core.resources.topic_filters import filter_covers, filters_meet, is_topic_filter, topic_matches

levels = st.sampled_from(["a", "b", "$x"])
topics = st.lists(levels, min_size=1, max_size=4).map("/".join)
filters = st.builds(
    lambda front, rest: "/".join([*front, *rest]),
    st.lists(levels | st.just("+"), min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
) | st.just("#")


@given(filters, filters, topics)
def test_a_filter_that_covers_another_means_what_it_means(wide, narrow, topic):
    if filter_covers(wide, narrow) and topic_matches(narrow, topic):
        assert topic_matches(wide, topic)


@given(filters, filters, topics)
def test_filters_that_do_not_meet_have_no_topic_in_common(one, other, topic):
    assert filters_meet(one, other) == filters_meet(other, one)
    if not filters_meet(one, other):
        assert not (topic_matches(one, topic) and topic_matches(other, topic))


@given(filters)
def test_a_filter_covers_and_meets_itself(topic_filter):
    assert is_topic_filter(topic_filter)
    assert filter_covers(topic_filter, topic_filter)
    assert filters_meet(topic_filter, topic_filter)


def test_covering_is_not_too_strict():
    pairs = [("#", "a/+/b"), ("a/#", "a"), ("a/#", "a/#"), ("+/b", "a/b"), ("a/+", "a/+"), ("+/#", "a/b/c")]
    assert all(filter_covers(wide, narrow) for wide, narrow in pairs)
    assert not any(filter_covers(narrow, wide) for wide, narrow in pairs if wide != narrow)


def test_one_level_does_not_cover_all_of_them():
    assert not filter_covers("a/+", "a/#")
    assert not filter_covers("+", "#")
    assert not filter_covers("#", "$SYS/#")
    assert not filter_covers("a/#", "a+/b")


def test_meeting_is_not_too_strict():
    assert not filters_meet("a/+", "b/+")
    assert not filters_meet("a/+", "a/b/c")
    assert not filters_meet("#", "$SYS/a")
    assert filters_meet("a/#", "+/b")
