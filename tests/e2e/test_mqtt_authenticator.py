"""A node asks an app who may connect: clients of paho's, real processes, an app that hangs and raises."""

import textwrap
import threading
from typing import Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from littoral.core.resources import App
from littoral.core.resources.app import AppSpec
from littoral.core.resources.mqtt import Mqtt
from littoral.core.resources.mqtt_authenticator import MqttAuthenticator
from littoral.core.resources.part import Metadata, RouteMatch
from littoral.fleet.bundles import pack_bundle
from littoral.wire import mqtt
from tests.support.real_node import RealNode

DEADLINE_S = 60
DOORS = """
    import asyncio
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return Response("doors")

        async def authenticate(self, login):
            match login["username"]:
                case "press":
                    if login["password"] != b"secret" or login["address"] != "127.0.0.1" or login["listener"] != "mqtt":
                        return False
                    return {"allow": True, "username": "machine", "publish": ["machine/#"], "expires_in": 3600}
                case "brief":
                    return {"allow": True, "expires_in": 0.5}
                case "hang":
                    await asyncio.sleep(3600)
                case "raise":
                    raise KeyError(login["password"])
            return False

        async def authenticate_step(self, login, step):
            if step["state"] is None:
                return {"challenge": b"2+2", "state": 4}
            return {"allow": step["data"] == b"%d" % step["state"], "data": b"right"}
    """


def login(node: RealNode, username: str, password: str, version: MQTTProtocolVersion = paho.MQTTv5) -> int | str:
    """What CONNACK says to a client of paho's; the return code of MQTT 3.1.1 by its text."""
    done = threading.Event()
    said: list[int | str] = []

    def connected(client: paho.Client, data: object, flags: object, reason: Any, properties: object) -> None:
        said.append(reason.value if version == paho.MQTTv5 else str(reason))
        done.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"{username}-1", protocol=version)
    client.username_pw_set(username, password)
    client.on_connect = connected
    client.connect("127.0.0.1", node.port("mqtt"))
    client.loop_start()
    try:
        assert done.wait(DEADLINE_S), node.log()
    finally:
        client.disconnect()
        client.loop_stop()
    return said[0]


def steps(node: RealNode, answer: bytes) -> mqtt.Packet | None:
    """The last word of an enhanced authentication."""
    client = node.mqtt("")
    try:
        method = mqtt.Properties(authentication_method="SUM")
        client.send(mqtt.encode(mqtt.Connect("steps", True, 0, level=5, properties=method), 5))
        asked = client.receive(5)
        assert isinstance(asked, mqtt.Auth), asked
        assert asked.properties.authentication_data == b"2+2"
        said = mqtt.Properties(authentication_method="SUM", authentication_data=answer)
        client.send(mqtt.encode(mqtt.Auth(mqtt.ReasonCode.CONTINUE_AUTHENTICATION, said), 5))
        return client.receive(5)
    finally:
        client.socket.close()


def test_an_app_says_who_may_connect_and_whatever_it_does_the_node_goes_on() -> None:
    app = App(
        api_version="littoral/v1",
        metadata=Metadata(name="doors"),
        spec=AppSpec(main="main.py", routes=[RouteMatch(path="/*")]),
    )
    with RealNode("edge", listen={"gateway": "127.0.0.1:0"}) as node:
        spec = msgspec.structs.replace(
            node.config.spec, mqtt=Mqtt(authenticator=MqttAuthenticator(app="doors", methods=["SUM"]))
        )
        node.config = msgspec.structs.replace(node.config, spec=spec)
        node.start()
        node.apply(app, pack_bundle("doors", {"main.py": textwrap.dedent(DOORS).encode()}))
        node.until(lambda: login(node, "press", "secret") == 0)
        assert login(node, "press", "wrong") == 0x87
        assert login(node, "press", "wrong", paho.MQTTv311) == "Not authorized"
        assert login(node, "nobody", "secret") == 0x87

        assert login(node, "raise", "pass-word") == 0x88
        assert login(node, "raise", "pass-word", paho.MQTTv311) == "Server unavailable"
        assert login(node, "hang", "pass-word") == 0x88
        node.until(
            lambda: "app doors, which is asked who may connect, failed: authenticate raised 'KeyError'" in node.log()
        )
        node.until(lambda: "'hang-1' was refused: app doors, which is asked who may connect, failed: " in node.log())
        hub = [line for line in node.log().splitlines() if "littoral." in line]
        assert not any("pass-word" in line for line in hub), hub

        assert isinstance(last := steps(node, b"4"), mqtt.ConnAck)
        assert (last.reason, last.properties.authentication_data) == (mqtt.ReasonCode.SUCCESS, b"right")
        assert isinstance(last := steps(node, b"5"), mqtt.ConnAck)
        assert last.reason is mqtt.ReasonCode.NOT_AUTHORIZED

        own = node.mqtt("")
        own.send(mqtt.encode(mqtt.Connect("m", True, 0, username="press", password=b"secret", level=5), 5))
        assert isinstance(own.receive(5), mqtt.ConnAck)
        for number, (topic, reason) in enumerate([("machine/a", 0), ("oven/a", 0x87)], 1):
            own.send(mqtt.encode(mqtt.Publish(topic, b"1", 1, packet_id=number), 5))
            assert own.receive(5) == mqtt.PubAck(number, mqtt.ReasonCode(reason))
        own.socket.close()
        brief = node.mqtt("")
        brief.send(mqtt.encode(mqtt.Connect("b", True, 0, username="brief", password=b"", level=5), 5))
        assert isinstance(brief.receive(5), mqtt.ConnAck)
        ended = brief.receive(5)
        assert isinstance(ended, mqtt.Disconnect)
        assert ended.reason is mqtt.ReasonCode.MAXIMUM_CONNECT_TIME
        brief.socket.close()
