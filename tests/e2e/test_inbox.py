"""Nodes below are asked from above, as the how-to says: real processes, the command line, and curl."""

import contextlib
import json
import re
import shlex
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import msgspec

from littoral.core.resources.model import Requests
from tests.support.ports import free_hundred
from tests.support.real_node import DEADLINE_S, RealNode, call, until

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "reach-a-node-behind-nat.md"
PORTS = str(free_hundred())[:3]
"""Instead of the page's 74: others may use those."""
TEXT = {"content-type": "text/plain"}


def moved(text: str) -> str:
    return re.sub(r"\b74(\d\d)\b", PORTS + r"\1", text)


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def works(command: str, folder: Path) -> bool:
    return subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=False).returncode == 0


def test_the_recipe(tmp_path: Path):
    text = moved(PAGE.read_text(encoding="utf-8"))
    document = re.search(r"^```yaml\n(apiVersion.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert document is not None
    (tmp_path / "plant-a.yaml").write_text(document[1], encoding="utf-8")
    littoral = f"{shlex.quote(sys.executable)} -m littoral.cli.main "
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    root, token, site, *calls = [line.replace("littoral ", littoral, 1) for line in lines]
    shown = {}
    with contextlib.ExitStack() as nodes:
        for command, before in ((root, ""), (site, token)):
            if before:
                until(partial(works, before, tmp_path))
            node = nodes.enter_context(
                subprocess.Popen(["/bin/sh", "-c", f"exec {command}"], cwd=tmp_path, stderr=subprocess.DEVNULL)
            )
            nodes.callback(node.wait, DEADLINE_S)
            nodes.callback(node.send_signal, signal.SIGINT)
        until(lambda: works(calls[0], tmp_path))
        for line, command in zip(lines[3:], calls, strict=True):
            shown[line] = run(command, tmp_path)
        listed = json.loads(run(f"{littoral}node list --json --data-dir cloud", tmp_path))
    said = [answer for line, answer in shown.items() if line.endswith("stream/notes") or "GET /v1/stream/notes" in line]
    assert said == ["valve 3 is open", "valve 3 is open"]
    by_end = {line.rpartition("/")[2]: answer for line, answer in shown.items()}
    assert json.loads(by_end["look"])["state"] == "answered"
    assert json.loads(by_end["answer"])["node"] == "plant-a"
    diagnosis = next(answer for line, answer in shown.items() if "diagnose" in line)
    assert json.loads(diagnosis)["status"]["node"] == "plant-a"
    assert [each["node"] for each in listed] == ["cloud"]


def allowing(node: RealNode, requests: Requests) -> RealNode:
    spec = node.config.spec
    assert spec.parent is not None
    parent = msgspec.structs.replace(spec.parent, requests=requests)
    node.config = msgspec.structs.replace(node.config, spec=msgspec.structs.replace(spec, parent=parent))
    return node


def test_a_node_two_levels_down_is_asked_with_curl_while_it_is_away_and_after_it_died():
    with RealNode("cloud") as cloud, RealNode("eu", "region", parent=cloud.start()) as eu:
        eu.start(cloud.token("eu"))
        with allowing(RealNode("plant-a", "site", parent=eu), "all") as site:
            site.start(eu.token("plant-a"))
            api = "/v1/nodes/plant-a/api/v1/stream/log"
            cloud.until(lambda: cloud.api("PUT", api, b"", TEXT).status in (200, 201))
            assert cloud.api("POST", api, b"one", {**TEXT, "idempotency-key": "k"}).status == 204
            site.kill_hub()
            assert cloud.api("POST", api, b"one", {**TEXT, "idempotency-key": "k"}).status == 204
            site.stop()
            late = cloud.api("GET", api, headers={"littoral-deadline": "500ms", "idempotency-key": "late"})
            assert late.status == 504
            assert "GET /v1/inbox/late/answer" in late.json()["remedy"]
            waiting: list[int] = []
            asked = threading.Thread(
                target=lambda: waiting.append(
                    cloud.api("POST", api, b"two", {**TEXT, "littoral-deadline": "19s"}).status
                )
            )
            asked.start()

            def is_waiting() -> bool:
                return "waiting" in [each["state"] for each in cloud.api("GET", "/v1/inbox").json()["messages"]]

            cloud.until(is_waiting)
            site.start()
            asked.join()
            assert waiting == [204]
            assert cloud.api("GET", api).body == b"onetwo"
            assert site.api("GET", "/v1/stream/log").body == b"onetwo"
            curl = [
                "curl",
                "-sS",
                "-o",
                "-",
                "-w",
                "%{http_code}",
                f"{cloud.url('api')}/v1/nodes/plant-a/api/v1/status",
            ]
            assert subprocess.run(curl, capture_output=True, check=True).stdout.endswith(b"401")
            token = (cloud.data_dir / "identity" / "operator.token").read_text().strip()
            answer = subprocess.run(
                [*curl, "-H", f"Authorization: Bearer {token}"], capture_output=True, check=True
            ).stdout
            assert answer.endswith(b"200")
            assert json.loads(answer[:-3])["node"] == "plant-a"


def test_a_node_that_only_lets_itself_be_read_says_so_and_an_expelled_one_is_gone():
    with RealNode("cloud") as cloud, RealNode("plant-a", "site", parent=cloud.start()) as site:
        site.start(cloud.token("plant-a"))
        status = "/v1/nodes/plant-a/api/v1/status"
        cloud.until(lambda: cloud.api("GET", status).status == 200)
        refused = cloud.api("PUT", "/v1/nodes/plant-a/api/v1/stream/log", b"", TEXT)
        assert (refused.status, "spec.parent.requests" in refused.json()["remedy"]) == (403, True)
        assert cloud.api("DELETE", "/v1/nodes/plant-a").status == 204
        site.until(lambda: "expelled" in site.api("GET", "/v1/status").json()["link"]["last_error"])
        cloud.stop()
        cloud.start()
        assert [each["node"] for each in cloud.api("GET", "/v1/nodes").json()] == ["cloud"]
        assert cloud.api("GET", status).status == 404
        assert call(f"{cloud.url('api')}/v1/inbox").status == 401
