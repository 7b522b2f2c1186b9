from hypothesis import given, settings
from hypothesis import strategies as st

from littoral.core.limits import Limits
from littoral.core.resources import topic_matches
from littoral.iot.message import Message
from littoral.iot.retained import Retained
from littoral.iot.session_rows import encode_message

names = st.sampled_from(["a", "b", "", "$x"])
topics = st.lists(names, min_size=1, max_size=4).map("/".join)
filters = st.lists(st.one_of(names, st.just("+")), max_size=3).flatmap(
    lambda levels: st.sampled_from(["/".join([*levels, "#"]), *(["/".join(levels)] if levels else [])])
)


@settings(max_examples=40)
@given(st.lists(st.tuples(topics, st.booleans()), max_size=30), st.lists(filters, min_size=1, max_size=10))
def test_retained_messages_agree_with_matching_every_topic(changes, wanted):
    retained = Retained(Limits())
    model: dict[str, Message] = {}
    for topic, keeps in changes:
        message = Message(topic, b"x" if keeps else b"", retain=True)
        assert retained.keep(message)
        model.pop(topic, None)
        if keeps:
            model[topic] = message
        assert retained.get(topic) is model.get(topic)
    assert (len(retained), retained.bytes) == (len(model), len(model))
    for topic_filter in wanted:
        expected = {id(message) for topic, message in model.items() if topic_matches(topic_filter, topic)}
        found = retained.match(topic_filter)
        assert {id(message) for message in found} == expected
        assert len(found) == len(expected)
    for topic, message in model.items():
        assert retained.forget(message)
        assert not retained.forget(message)
        assert retained.get(topic) is None
    assert retained._root == {}, "without messages it holds nothing"


@settings(max_examples=40)
@given(
    st.lists(st.tuples(topics, st.booleans()), max_size=30),
    st.lists(topics, max_size=30, unique=True),
    filters,
    filters,
)
def test_what_came_through_a_restart_is_found_like_any_other(changes, before, first, second):
    retained = Retained(Limits())
    retained.restore((topic, encode_message(Message(topic, b"xx"))) for topic in before)
    model = dict.fromkeys(before, b"xx")
    assert len(retained) == len(model)
    for topic, keeps in changes:
        assert retained.keep(Message(topic, b"x" if keeps else b""))
        model.pop(topic, None)
        if keeps:
            model[topic] = b"x"
        held = retained.get(topic)
        assert (held and held.payload) == model.get(topic)
        assert len(retained) == len(model)
    walks = [(each, retained.walk(each)) for each in (first, second)]
    for topic_filter, walk in walks:
        expected = {topic: payload for topic, payload in model.items() if topic_matches(topic_filter, topic)}
        assert sorted((each.topic, each.payload) for each in walk if each) == sorted(expected.items())
    assert {each.topic for each in retained.below("")} == {topic for topic in model if not topic.startswith("$")}
    assert (len(retained), retained.bytes) == (len(model), sum(map(len, model.values())))


def test_two_walks_at_once_after_a_restart_find_everything_each():
    retained = Retained(Limits())
    everything = {f"a/{number}" for number in range(200)}
    retained.restore((topic, encode_message(Message(topic, b"x"))) for topic in everything)
    walks = [retained.walk("#"), retained.walk("a/+")]
    found: list[set[str]] = [set(), set()]
    for step in range(2000):
        message = next(walks[step % 2], None)
        if message is not None:
            found[step % 2].add(message.topic)
    assert found == [everything, everything]


def test_after_a_restart_the_bound_is_that_of_the_payloads():
    retained = Retained(Limits({"mqtt-retained": 2, "mqtt-retained-bytes": 10}))
    retained.restore([("a", encode_message(Message("a", b"1" * 8)))])
    assert retained.keep(Message("b", b"12"))
    assert not retained.keep(Message("c", b"1"))
    assert [each.topic for each in retained.match("#")] in (["a", "b"], ["b", "a"])


def test_a_row_that_cannot_be_read_is_left_out_and_said(caplog):
    retained = Retained(Limits())
    retained.restore([("a", b"\xff"), ("b", encode_message(Message("b", b"1")))])
    assert [each.topic for each in retained.match("#")] == ["b"]
    assert "left out the retained message of 'a'" in caplog.text
    assert len(retained) == 1


def test_a_message_that_was_replaced_is_not_forgotten_in_place_of_the_new_one():
    retained = Retained(Limits())
    old, new = Message("a", b"1"), Message("a", b"2")
    retained.keep(old)
    retained.keep(new)
    assert not retained.forget(old)
    assert retained.get("a") is new


def test_a_topic_with_very_many_levels_is_one_like_others():
    retained = Retained(Limits())
    topic = "/".join("a" * 20_000)
    retained.keep(Message(topic, b"1"))
    assert len(retained.match("a/#")) == 1
    assert len(retained.match("/".join("+" * 20_000))) == 1
    retained.keep(Message(topic, b""))
    assert retained._root == {}


def test_topics_that_begin_alike_for_very_many_levels_cost_what_their_length_does():
    retained = Retained(Limits())
    deep = "/".join("a" * 30_000)
    retained.keep(Message(deep, b"1"))
    retained.keep(Message(f"{deep}/b", b"1"))
    retained.keep(Message(deep, b""))
    assert [each.topic for each in retained.match("a/#")] == [f"{deep}/b"]


def test_a_message_over_a_bound_is_not_retained_and_the_one_before_is_gone():
    retained = Retained(Limits({"mqtt-retained": 2, "mqtt-retained-bytes": 10}))
    assert retained.keep(Message("a", b"1" * 8))
    assert not retained.keep(Message("b", b"123"))
    assert retained.keep(Message("b", b"12"))
    assert not retained.keep(Message("c", b"1"))
    assert not retained.keep(Message("a", b"1" * 9))
    assert [each.topic for each in retained.match("#")] == ["b"]
    assert retained.keep(Message("c", b"1" * 8))
