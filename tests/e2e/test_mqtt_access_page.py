"""The commands of docs/howto/let-devices-in.md, and a client over WebSocket, at a node."""

import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.certificates import TestCa
from tests.support.ports import free_base_port

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "let-devices-in.md"
DEADLINE_S = 30
SEEN = re.compile(r"^```\n(CLIENT.*?\n)```", re.DOTALL | re.MULTILINE)
TLS_PORT = free_base_port(2)
WEB_PORT = TLS_PORT + 1


def moved(text: str, folder: Path) -> str:
    """With files and ports of the test."""
    text = text.replace("/etc/littoral", str(folder)).replace("8883", str(TLS_PORT)).replace("8083", str(WEB_PORT))
    return re.sub(r"\blittoral (?=mqtt|validate|node)", f"{shlex.quote(sys.executable)} -m littoral.cli.main ", text)


def run(command: str, folder: Path, code: int = 0) -> str:
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == code, done
    return done.stdout


def wait_for(port: int) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        else:
            return


def write_files(folder: Path) -> None:
    ca = TestCa("devices")
    (folder / "devices.pem").write_bytes(ca.pem)
    ca.issue("broker").write(folder, "broker")
    ca.issue("press").write(folder, "press")


def heard_over_web_socket() -> str:
    """What the control room hears there."""
    heard: list[str] = []
    done = threading.Event()

    def take(_client, _data, message) -> None:
        heard.append(f"{message.topic} {message.payload.decode()}")
        done.set()

    def subscribe(asking: paho.Client, *_: object) -> None:
        asking.subscribe("devices/#")

    client = paho.Client(CallbackAPIVersion.VERSION2, transport="websockets", protocol=paho.MQTTv5)
    client.username_pw_set("scada", "hidden")
    client.on_message = take
    client.on_connect = subscribe
    client.connect("127.0.0.1", WEB_PORT)
    client.loop_start()
    try:
        assert done.wait(DEADLINE_S)
    finally:
        client.disconnect()
        client.loop_stop()
    return heard[0]


def test_the_recipe_for_devices(tmp_path: Path):
    assert shutil.which("mosquitto_pub"), "the tests need Debian's mosquitto-clients"
    text = moved(PAGE.read_text(encoding="utf-8"), tmp_path)
    write_files(tmp_path)
    block = re.search(r"^```yaml\n(apiVersion.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    (tmp_path / "node.yaml").write_text(block[1], encoding="utf-8")
    lines = [
        line for each in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE) for line in each.splitlines()
    ]
    press, scada, validate, start, publish, subscribe, stay, clients, certified = lines
    for command in (press, scada, validate):
        run(command, tmp_path)
    with subprocess.Popen(shlex.split(start), cwd=tmp_path) as node:
        try:
            wait_for(TLS_PORT)
            run(publish, tmp_path)
            assert run(subscribe, tmp_path) == "devices/press/bar 4.2\n"
            assert heard_over_web_socket() == "devices/press/bar 4.2"
            run(stay, tmp_path)
            assert [line.rstrip() for line in run(clients, tmp_path).splitlines()] == SEEN.findall(text)[0].splitlines()
            run(certified + " -r -q 1", tmp_path)
            assert run(subscribe, tmp_path) == "devices/press/bar 4.3\n"
            assert "refused" in run(publish.replace("secret", "wrong") + " 2>&1; exit 0", tmp_path)
            assert "denied" in run(subscribe.replace("'devices/#'", "'#' 2>&1; exit 0"), tmp_path)
        finally:
            node.send_signal(signal.SIGINT)
            node.wait(DEADLINE_S)
