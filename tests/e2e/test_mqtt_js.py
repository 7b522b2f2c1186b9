"""MQTT.js, the client that pages in browsers use, over WebSocket."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.mqtt_thread import DEADLINE_S, serving, until

FOLDER = Path(__file__).parents[1] / "conformance" / "mqtt-js"


@pytest.mark.parametrize("version", [4, 5])
def test_mqtt_js_publishes_and_subscribes_at_each_qos_and_gets_what_was_retained_and_a_will(version):
    with serving() as server:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        command = ["node", "story.js", f"ws://127.0.0.1:{server.web_port}/mqtt", str(version)]
        done = subprocess.run(
            command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=2 * DEADLINE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["granted"] == [2]
        unit = "C" if version == 5 else None
        assert told["received"] == [
            {"topic": "story/retained", "payload": "retained", "qos": 1, "retain": True, "unit": unit},
            {"topic": "story/0", "payload": "qos 0", "qos": 0, "retain": False, "unit": unit},
            {"topic": "story/1", "payload": "qos 1", "qos": 1, "retain": False, "unit": unit},
            {"topic": "story/2", "payload": "qos 2", "qos": 2, "retain": False, "unit": unit},
            {"topic": "story/will", "payload": "gone", "qos": 1, "retain": False, "unit": None},
        ]
        acknowledged = ["story/retained", "story/1", "story/2", "story/large", "story/will"]
        assert [topic for topic, _ in server.stored] == acknowledged
        until(lambda: server.ask(lambda broker: len(broker.sessions)) == 0)
