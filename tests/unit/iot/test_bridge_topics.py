"""What goes over a bridge, and its names."""

from littoral.core.limits import Limits
from littoral.core.resources.mqtt_bridge import MqttBridgeTopic
from littoral.iot.bridge_hops import sent_on, was_here, was_sent
from littoral.iot.bridge_topics import BridgeTopics
from littoral.wire import mqtt
from littoral.wire.mqtt import NO_PROPERTIES


def topics(*entries):
    return BridgeTopics(
        [
            MqttBridgeTopic(filter=name, direction=direction, qos=qos, local_prefix=here, remote_prefix=there)
            for name, direction, qos, here, there in entries
        ]
    )


def test_a_prefix_of_one_side_is_replaced_by_that_of_the_other():
    found = topics(("line/+/state", "both", 1, "plant/", "site-7/"))
    assert found.to_there("plant/line/1/state") == "site-7/line/1/state"
    assert found.to_here("site-7/line/1/state") == "plant/line/1/state"
    assert found.to_there("site-7/line/1/state") is None
    assert found.to_here("plant/line/1/state") is None
    assert found.to_there("plant/line/1/other") is None


def test_the_first_entry_that_fits_decides():
    found = topics(("alarm/#", "out", 2, "", "urgent/"), ("#", "out", 0, "", "all/"))
    assert found.to_there("alarm/1") == "urgent/alarm/1"
    assert found.to_there("other") == "all/other"


def test_a_filter_is_subscribed_to_once_at_its_highest_qos_and_brings_nothing_back():
    found = topics(("a/#", "in", 0, "x/", ""), ("a/#", "in", 2, "y/", ""), ("b", "out", 1, "", ""))
    assert found.there == (mqtt.Subscription("a/#", 2, True, True, 1),)
    assert found.here == (mqtt.Subscription("b", 1, True, True, 1),)


def test_wildcards_do_not_mean_topics_of_the_server():
    found = topics(("#", "both", 1, "", ""))
    assert found.to_there("$SYS/broker/uptime") is None
    assert found.to_here("$SYS/broker/uptime") is None


def test_what_has_no_name_at_the_other_side_goes_nowhere():
    assert topics(("#", "out", 1, "line/", "")).to_there("line") is None
    assert topics(("#", "out", 1, "", "x" * 1024)).to_there("a" * 65_000) is None


def test_messages_may_return_where_both_directions_have_topics_in_common_there():
    assert topics(("#", "both", 1, "", "")).may_return
    assert topics(("a/#", "out", 1, "", "x/"), ("b", "in", 1, "", "x/a/")).may_return
    assert not topics(("#", "out", 1, "", "up/"), ("#", "in", 1, "", "down/")).may_return


def test_a_message_that_was_here_before_goes_round_and_so_does_one_that_passed_too_many():
    once = sent_on(mqtt.Properties(user=(("k", "v"),)), "a")
    twice = sent_on(once, "b")
    assert twice.user == (("k", "v"), ("littoral-hop", "a"), ("littoral-hop", "b"))
    assert was_here(twice, "a", Limits())
    assert not was_here(twice, "c", Limits({"mqtt-bridge-hops": 2}))
    assert not was_here(NO_PROPERTIES, "a", Limits())
    limits = Limits({"mqtt-bridge-hops": 1})
    assert was_here(twice, "c", limits)
    assert limits.reached["mqtt-bridge-hops"] == 1
    assert was_sent(twice, "b", Limits())
