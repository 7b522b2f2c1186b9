"""A mosquitto that keeps its sessions when it is stopped, and can be started again."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.support.certificates import TestCa
from tests.support.ports import free_base_port
from tests.support.real_node import until

USER, PASSWORD = "plant", "hidden-from-logs"


class Mosquitto:
    """On two ports of the loopback: plain, and with TLS. Use as a context manager."""

    def __init__(self, folder: Path, *more: str) -> None:
        """folder: where it keeps everything; and `ca.pem`, who signs its certificate. more: lines of its configuration."""
        self.folder = folder
        self.port = free_base_port(2)
        self.tls_port = self.port + 1
        ca = TestCa("brokers")
        (folder / "ca.pem").write_bytes(ca.pem)
        certificate, key = ca.issue("broker").write(folder, "broker")
        passwords = folder / "passwords"
        subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), USER, PASSWORD], check=True)
        lines = [
            "per_listener_settings true",
            "max_queued_messages 0",
            # Those kept through a restart it counts twice: from 20 it acknowledges QoS 1 with a refusal that 3.1.1 has no word for.
            "max_inflight_messages 0",
            "user root" if os.getuid() == 0 else "",
            "persistence true",
            "log_type all",
            f"persistence_location {folder}/",
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            f"listener {self.tls_port} 127.0.0.1",
            f"certfile {certificate}",
            f"keyfile {key}",
            f"password_file {passwords}",
            *more,
        ]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        with open(self.folder / "log", "ab") as log:
            command = ["mosquitto", "-c", str(self.folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def has_released(self, client: str) -> bool:
        """Whether its last QoS 2 message to this client was taken and released, and it knows."""
        text = self.log()
        begun = text.rfind(f"Sending PUBLISH to {client} (d0, q2,")
        packet_id = text[begun:].partition(", m")[2].partition(",")[0]
        return begun < 0 or f"Received PUBCOMP from {client} (Mid: {packet_id}," in text[begun:]

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None


class Client:
    """A client whose session outlives its connections, and which connects again. Use as a context manager."""

    def __init__(self, port: int, name: str, topic_filter: str = "", *, forgives: bool = False) -> None:
        """topic_filter: what it subscribes to at QoS 2, if anything. forgives: does not hear again what comes again, and is marked so."""
        self._forgives = forgives
        self.heard: list[tuple[str, bytes]] = []
        self._filter = topic_filter
        self._port = port
        self._is_subscribed = not topic_filter
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, name, clean_session=False, protocol=MQTTProtocolVersion.MQTTv311
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._take
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed

    def __enter__(self) -> Self:
        self._client.connect_async("127.0.0.1", self._port)
        self._client.loop_start()
        until(lambda: self._client.is_connected() and self._is_subscribed)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, qos: int) -> paho.MQTTMessageInfo:
        return self._client.publish(topic, payload, qos)

    def _connected(self, *_: object) -> None:
        if self._filter:
            self._client.subscribe(self._filter, 2)

    def _subscribed(self, *_: object) -> None:
        self._is_subscribed = True

    def _take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        heard = (message.topic, bytes(message.payload))
        if not (self._forgives and message.dup and heard in self.heard):
            self.heard.append(heard)
