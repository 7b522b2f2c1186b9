import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.resources import topic_matches
from littoral.iot.topics import TopicTree

# The examples of section 4.7 of the specification.
FITS = [
    ("sport/tennis/player1/#", ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/a/b"]),
    ("sport/#", ["sport"]),
    ("#", ["a", "a/b", "/"]),
    ("sport/tennis/+", ["sport/tennis/player1", "sport/tennis/"]),
    ("+/+", ["/finance"]),
    ("/+", ["/finance"]),
    ("$SYS/#", ["$SYS/a"]),
    ("$SYS/monitor/+", ["$SYS/monitor/Clients"]),
    ("+/monitor/Clients", ["a/monitor/Clients"]),
]
MISSES = [
    ("sport/tennis/+", ["sport/tennis/player1/ranking", "sport/tennis"]),
    ("sport/+", ["sport"]),
    ("+", ["/finance", "$SYS"]),
    ("#", ["$SYS/a"]),
    ("+/monitor/Clients", ["$SYS/monitor/Clients"]),
    ("ACCOUNTS", ["Accounts"]),
]


def cases(table):
    return [(topic_filter, topic) for topic_filter, topics in table for topic in topics]


@pytest.mark.parametrize(("topic_filter", "topic"), cases(FITS))
def test_a_filter_fits(topic_filter, topic):
    tree: TopicTree[str, int] = TopicTree()
    tree.add(topic_filter, "me", 1)
    assert tree.match(topic) == {"me": [1]}


@pytest.mark.parametrize(("topic_filter", "topic"), cases(MISSES))
def test_a_filter_does_not_fit(topic_filter, topic):
    tree: TopicTree[str, int] = TopicTree()
    tree.add(topic_filter, "me", 1)
    assert tree.match(topic) == {}


def test_overlapping_filters_give_each_subscriber_once_with_all_its_terms():
    tree: TopicTree[str, int] = TopicTree()
    tree.add("a/#", "me", 0)
    tree.add("a/+", "me", 1)
    tree.add("a/b", "you", 0)
    assert tree.match("a/b") == {"me": [0, 1], "you": [0]}


names = st.sampled_from(["a", "b", "", "$x"])
filters = st.lists(st.one_of(names, st.just("+")), min_size=1, max_size=3).flatmap(
    lambda levels: st.sampled_from(["/".join(levels), "/".join([*levels, "#"])])
)


@given(
    st.lists(st.tuples(filters, st.integers(0, 3), st.integers(0, 1))),
    st.data(),
    st.lists(names, min_size=1, max_size=4).map("/".join),
)
def test_the_tree_agrees_with_matching_every_filter(subscriptions, data, topic):
    tree: TopicTree[int, int] = TopicTree()
    model: dict[tuple[str, int], int] = {}
    for topic_filter, subscriber, qos in subscriptions:
        tree.add(topic_filter, subscriber, qos)
        model[topic_filter, subscriber] = qos
    if model:
        for gone in data.draw(st.lists(st.sampled_from(sorted(model)), unique=True)):
            tree.remove(*gone)
            del model[gone]
    expected: dict[int, list[int]] = {}
    for (topic_filter, subscriber), qos in sorted(model.items(), key=lambda item: item[1]):
        if topic_matches(topic_filter, topic):
            expected.setdefault(subscriber, []).append(qos)
    assert {subscriber: sorted(found) for subscriber, found in tree.match(topic).items()} == expected
    for remaining in list(model):
        tree.remove(*remaining)
    assert not tree._root.below, "a tree without subscriptions holds nothing"
