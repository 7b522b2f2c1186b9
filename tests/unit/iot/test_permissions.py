import pytest

from littoral.core.resources.mqtt import MqttPermission
from littoral.iot.permissions import Permissions
from littoral.wire.mqtt import ReasonCode


def may(*entries: MqttPermission, user="press", client="c1"):
    permissions = Permissions(entries)
    return (
        lambda topic: permissions.may_publish(user, client, topic),
        lambda topic_filter: permissions.may_subscribe(user, client, topic_filter),
    )


def allow(*topics, **more):
    return MqttPermission(topics=list(topics), **more)


def deny(*topics, **more):
    return MqttPermission(topics=list(topics), effect="deny", **more)


def test_without_entries_everybody_may_do_anything():
    publish, subscribe = may()
    assert publish("a")
    assert subscribe("#")
    assert Permissions([]).unlimited


def test_what_no_entry_is_about_is_not_allowed():
    publish, subscribe = may(allow("a/#"))
    assert publish("a/b")
    assert not publish("b")
    assert subscribe("a/+/c")
    assert not subscribe("b")


def test_the_first_entry_that_is_about_it_decides():
    publish, subscribe = may(allow("a/b"), deny("a/#"), allow("#"))
    assert [publish(topic) for topic in ("a/b", "a/c", "a", "b")] == [True, False, False, True]
    assert [subscribe(name) for name in ("a/b", "a/c", "b/#")] == [True, False, True]


def test_an_entry_that_allows_has_to_allow_the_whole_of_a_subscription():
    _, subscribe = may(allow("a/+", "b/#"))
    wanted = {
        "a/b": True,
        "a/+": True,
        "a/#": False,
        "a": False,
        "+/b": False,
        "#": False,
        "b/#": True,
        "b/+/c": True,
        "b": True,
    }
    assert {name: subscribe(name) for name in wanted} == wanted


def test_an_entry_that_denies_counts_where_it_denies_any_of_a_subscription():
    _, subscribe = may(deny("a/secret"), allow("#"))
    wanted = {"a/b": True, "a/+": False, "a/#": False, "#": False, "+/secret": False, "b/#": True, "a/secret/x": True}
    assert {name: subscribe(name) for name in wanted} == wanted


def test_an_exact_entry_is_about_the_filter_and_not_about_its_topics():
    _, subscribe = may(deny("#", exact=True), allow("#"))
    wanted = {"#": False, "a/#": True, "+/a": True, "a": True}
    assert {name: subscribe(name) for name in wanted} == wanted
    publish, subscribe = may(allow("a/b", exact=True))
    assert publish("a/b")
    assert not publish("a/c")
    assert not subscribe("a/+")


def test_what_a_client_is_told_is_for_the_entry_to_say():
    _, subscribe = may(deny("a", reason="unspecified"), deny("b"), allow("#"))
    assert subscribe("a") is ReasonCode.UNSPECIFIED_ERROR
    assert subscribe("b") is False
    assert subscribe("c") is True


def test_entries_are_for_users_clients_and_actions():
    entries = [
        allow("u", users=["press"]),
        allow("c", clients=["c1"]),
        allow("p", action="publish"),
        allow("s", action="subscribe"),
    ]
    publish, subscribe = may(*entries)
    assert [publish(topic) for topic in "ucps"] == [True, True, True, False]
    assert [subscribe(topic) for topic in "ucps"] == [True, True, False, True]
    publish, _ = may(*entries, user=None, client="c2")
    assert [publish(topic) for topic in "ucps"] == [False, False, True, False]


def test_placeholders_are_the_user_and_the_client():
    publish, subscribe = may(allow("u/%u/#", "c/%c", "x-%c/%u"))
    assert [publish(topic) for topic in ("u/press/a", "u/other/a", "c/c1", "c/c2", "x-c1/press")] == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert subscribe("u/press/#")
    assert not subscribe("u/+/a")


@pytest.mark.parametrize("name", ["+", "#", "a/b", "", "$SYS"])
def test_a_name_cannot_widen_what_it_may_do(name):
    publish, subscribe = may(allow("%c/#", "in/%c"), user=None, client=name)
    assert not publish("a/b")
    assert not subscribe("$SYS/#")
    assert not subscribe("in/+")
    publish, subscribe = may(allow("%u/#"), user=name)
    assert not publish(f"{name}/b")


@pytest.mark.parametrize("name", ["+", "#", "a/b", "$SYS"])
def test_a_name_cannot_slip_through_what_is_denied(name):
    publish, _ = may(deny("log/%c"), allow("#"), client=name)
    assert not publish("log/x")
    assert publish("other/x")
    publish, _ = may(deny("log/x-%c"), allow("#"), client=name)
    assert not publish("log/x-1")


def test_wildcards_do_not_mean_the_servers_own_topics():
    _, subscribe = may(allow("#"))
    assert not subscribe("$SYS/#")
    _, subscribe = may(allow("#", "$SYS/#"))
    assert subscribe("$SYS/broker/clients")
