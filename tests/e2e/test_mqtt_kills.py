"""The short form of the brokers' soak, `make soak-mqtt`; and that its verdict can fail."""

import re
import subprocess
import sys
from pathlib import Path

from littoral.wire import mqtt
from tests.soak.mqtt.clients import Client, Reader, Work
from tests.soak.mqtt.voices import Heard, Retained, Voice

REPOSITORY = Path(__file__).parents[2]
KILLS = 3
DEADLINE_S = 600
"""Of a run that is to take a few seconds, on a machine that is busy with other things as well."""


def soak(seed: int, *options: str) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.soak.mqtt",
        "--nodes",
        "1",
        "--kills",
        str(KILLS),
        "--seed",
        str(seed),
        *options,
    ]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(rf"^{KILLS} kills, .* 0 violations, seed {seed}$", run.stdout, re.MULTILINE), run.stdout
    for what in ("publishes acknowledged", "messages that came to subscribers", "times all that was promised had come"):
        assert re.search(rf"^ *[1-9][\d,]*  {what}$", run.stdout, re.MULTILINE), run.stdout


def test_nothing_that_was_acknowledged_is_lost_and_no_qos_2_message_comes_twice(seed: int):
    soak(seed)


def test_what_goes_from_a_site_to_the_root_comes_once_though_both_hubs_are_killed_and_the_link_breaks(seed: int):
    soak(seed, "--root")


# The verdict can fail


class Way:
    """A connection that leads nowhere."""

    def send(self, data: bytes) -> None: ...

    def drop(self) -> None: ...


def heard(*, in_order: bool = True) -> tuple[Voice, Heard]:
    voice = Voice("first")
    for _ in range(5):
        voice.say()
    return voice, Heard("steady", [voice], in_order=in_order)


def packet(number: int, qos: int = 2, topic: str = "t", *, retain: bool = False, voice: str = "first") -> mqtt.Publish:
    return mqtt.Publish(topic, b"%s %d " % (voice.encode(), number), qos, retain, packet_id=number + 1)


def test_what_was_acknowledged_and_has_not_come_is_told():
    voice, it = heard()
    voice.promised[1] = voice.promised[3] = 1
    it.take(packet(1))
    assert it.missing() == ["first 3 was acknowledged, and has not come to steady"]
    it.take(packet(3))
    it.take(packet(4))
    assert it.missing() == it.wrong == []


def test_what_comes_twice_is_told_where_it_is_of_qos_2():
    _, it = heard()
    for number, qos in ((0, 1), (0, 1), (1, 2)):
        it.take(packet(number, qos))
    assert it.wrong == []
    it.take(packet(1))
    assert it.wrong == ["steady got first 1 on t twice at QoS 2"]


def test_what_comes_out_of_order_is_told_and_what_comes_again_is_not():
    came = [packet(1, 1), packet(2, 1), packet(1, 1), packet(0, topic="another"), packet(4, 1), packet(3, 1)]
    for in_order, wrong in ((True, ["steady got first 3 on t after 4"]), (False, [])):
        _, it = heard(in_order=in_order)
        for each in came:
            it.take(each)
        assert it.wrong == wrong


def test_what_nobody_said_is_told():
    _, it = heard()
    it.take(packet(9))
    it.take(packet(0, voice="another"))
    assert [each.endswith("which nobody said to it") for each in it.wrong] == [True, True]


def test_a_will_is_promised_once_its_connection_has_broken_and_not_after_a_goodbye():
    wills = Voice("mortal", is_wills=True)
    client = Client("mortal", 4, 0, Work(wills=wills), clean=True)
    for _ in range(2):
        client.connect(Way())
        client.hear(mqtt.encode(mqtt.ConnAck(session_present=False)))
        assert client.open
        client.leave()
    client.connect(Way())
    client.leave()
    assert list(wills.promised) == [1, 1, 0]


def test_a_retained_message_that_is_older_than_what_was_acknowledged_is_told():
    retained = Retained()
    retained.promise("t", 3)
    retained.promise("t", 2)
    retained.promise("u", 1)
    reader = Reader("reader", 4, 0, retained, "#")
    reader.connect(Way())
    reader.hear(mqtt.encode(mqtt.ConnAck(session_present=False)))
    assert len(reader.wanted) == 2
    reader.hear(mqtt.encode(packet(3, retain=True)))
    assert (reader.faults, reader.reads) == ([], 0)
    assert reader.wanted == ["reader was not given what is retained on u"]
    reader.hear(mqtt.encode(packet(0, topic="u", retain=True)))
    assert reader.faults == ["u retains first 0 after 1 was acknowledged"]
