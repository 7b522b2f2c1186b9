"""Clients of one node: publishers and subscribers of all kinds."""

from tests.soak.mqtt.clients import Client, Reader, Work
from tests.soak.mqtt.scene import Scene
from tests.soak.mqtt.voices import Heard, Retained, Voice

ALL = "all/#"


class PlainScene(Scene):
    """What they publish goes to others at the same node."""

    def cast(self) -> list[Client]:
        port, retained = self.node.port("mqtt"), Retained()
        voices = [Voice(name) for name in ("first", "second", "third", "passing")]
        wills = [Voice(name, is_wills=True) for name in ("mortal", "mortal-5")]
        first, second, third, passing = voices
        # One QoS on each topic: where they differ, one may overtake the other.
        work = [
            Work(first, (("all/0", 2, False), ("all/kept/0", 2, True)), retained=retained),
            Work(second, (("all/1-once", 1, False), ("all/1", 2, False), ("all/kept/1", 1, True)), retained=retained),
            Work(
                third,
                (("all/2", 2, False), ("all/2-once", 1, False), ("all/kept/2", 2, True)),
                retained=retained,
                restless=True,
            ),
            Work(passing, (("all/3-once", 1, False), ("all/3", 2, False)), restless=True),
        ]
        team = Heard("team", voices, in_order=False)
        return [
            Client("first", 4, port, work[0]),
            Client("second", 5, port, work[1]),
            Client("third", 5, port, work[2]),
            Client("passing", 4, port, work[3], clean=True),
            Client("mortal", 4, port, Work(wills=wills[0], restless=True), clean=True),
            Client("mortal-5", 5, port, Work(wills=wills[1], restless=True)),
            Client("steady", 5, port, Work(heard=Heard("steady", [*voices, *wills])), ALL, "wills/#"),
            Client("roaming", 4, port, Work(heard=Heard("roaming", voices), restless=True), ALL),
            Client("once", 5, port, Work(heard=Heard("once", voices), restless=True), ALL, qos=1),
            Client("fickle", 5, port, Work(heard=Heard("fickle", [], *voices), restless=True), "all/+", clean=True),
            Client("left", 5, port, Work(heard=team, restless=True), f"$share/team/{ALL}"),
            Client("right", 5, port, Work(heard=team, restless=True), f"$share/team/{ALL}"),
            Reader("reader", 4, port, retained, "all/kept/#"),
            Reader("reader-5", 5, port, retained, "all/kept/#"),
        ]
