"""Brokers in words."""

from littoral.dashboard.mqtt_cells import client_line, node_cells, topic_line, totals
from littoral.node.mqtt_messages import MqttClient, MqttClients, TopicEntry, TopicPage
from littoral.wire.mqtt.properties import NEVER_S
from tests.support.statuses import NOW_MS, status

PRESS = MqttClient(
    "press",
    True,
    "5",
    3,
    12,
    2,
    60,
    True,
    "line-1",
    "10.0.0.7",
    "mqtt",
    NOW_MS - 61_000,
    in_flight=4,
    queued_bytes=2_000,
)
PANEL = MqttClient("panel", False, "3.1.1", 1, 0, 0, NEVER_S, False)


def test_a_client_that_is_connected() -> None:
    line = client_line(PRESS, NOW_MS)
    assert line.name == "press"
    assert [(cell.main, cell.sub, cell.tone) for cell in line.cells] == [
        ("press", "line-1", ""),
        ("connected", "for 1 min 1 s", "ok"),
        ("10.0.0.7", "mqtt", ""),
        ("5", "with a will", ""),
        ("3", "", ""),
        ("12", "2.0 kB", ""),
        ("4", "", ""),
        ("2", "", "warn"),
    ]


def test_a_session_that_waits_of_which_nothing_else_is_known() -> None:
    line = client_line(PANEL, NOW_MS)
    assert [(cell.main, cell.sub) for cell in line.cells[:4]] == [
        ("panel", ""),
        ("away", "kept for ever"),
        ("–", ""),
        ("3.1.1", ""),
    ]


def test_all_of_a_broker() -> None:
    told = MqttClients([], 5, found=0, connected=3, waiting=7, queued_bytes=900, dropped=1, received=1200, at_ms=NOW_MS)
    page = TopicPage([], 0, 40, False, 100, 0)
    figures = totals(told, 12.5, page, 40)
    assert {name: (cell.main, cell.sub) for name, cell in figures.items()} == {
        "Connected": ("3", "clients"),
        "Messages/s": ("12", "1\u202f200 in all"),
        "Sessions away": ("2", "wait for their clients"),
        "Queued": ("7", "900 B"),
        "Dropped": ("1", "for slow or absent clients"),
        "Topics": ("40", "with a last value"),
    }
    assert totals(told, None, None, None)["Topics"].main == "–"
    assert totals(told, None, TopicPage([], 0, 0, False, 9, 2), 0)["Topics"].sub == "with a last value, of a sample"


def test_a_topic_and_a_branch() -> None:
    leaf = topic_line(
        TopicEntry("plant/a", 1, b'{"on":\n true}', 13, NOW_MS - 3000, 5, retained=True),
        NOW_MS,
        is_open=False,
        whole_name=False,
    )
    assert (leaf.name, leaf.depth, leaf.below, leaf.value, leaf.when) == ("a", 1, 0, '{"on": true}', "3 s ago")
    assert (leaf.count, leaf.retained, leaf.note) == ("5", True, "")
    branch = topic_line(TopicEntry("plant", 3), NOW_MS, is_open=True, whole_name=False)
    assert (branch.name, branch.depth, branch.below, branch.value, branch.when) == ("plant", 0, 3, "", "")
    both = topic_line(TopicEntry("plant/a/", 3, b"", 0), NOW_MS, is_open=True, whole_name=False)
    assert (both.name, both.below, both.value, both.when) == ("(empty)", 2, "(empty)", "before the hub started")


def test_what_was_looked_for_stands_alone_and_bytes_are_digits() -> None:
    found = topic_line(TopicEntry("plant/a", 1, b"\xff\x00", 9000), NOW_MS, is_open=False, whole_name=True)
    assert (found.name, found.depth, found.value, found.note) == ("plant/a", 0, "ff00", "9.0 kB in all")
    cut = topic_line(TopicEntry("a", 1, "grün".encode()[:3], 5), NOW_MS, is_open=False, whole_name=True)
    assert cut.value == "gr"


def test_a_node_with_its_broker() -> None:
    assert [cell.main for cell in node_cells(status("edge"), 3.5)][1:] == ["3.5"]
