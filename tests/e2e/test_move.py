"""A node is moved to another parent, as the how-to says: real processes, and its data directory goes with it."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.support.ports import free_base_port
from tests.support.real_node import RealNode

REPOSITORY = Path(__file__).parents[2]
JSON = {"content-type": "application/json"}


def append(node: RealNode, numbers: range) -> None:
    for n in numbers:
        assert node.api("POST", f"/v1/streams/{node.name}/log", b"%d" % n, JSON).status == 204


def held(node: RealNode) -> list[int]:
    reply = node.api("GET", "/v1/streams/plant-a/log?offset=-1")
    return list(json.loads(reply.body)) if reply.status == 200 else []


def test_another_node_does_not_get_the_name(tmp_path: Path):
    with RealNode("cloud") as cloud, RealNode("eu", "region", parent=cloud.start()) as eu:
        eu.start(cloud.token("eu"))
        with RealNode("us", "region", parent=cloud) as us, RealNode("plant-a", "site", parent=eu) as site:
            us.start(cloud.token("us"))
            site.start(eu.token("plant-a"))
            with RealNode("plant-a", "site", parent=us) as other:
                log = other.refused(us.token("plant-a"))
            assert "cloud knows another node of that name" in log
            assert "move the node with its data directory, and its key" in log


def test_who_is_below_a_region_comes_along_with_it():
    with RealNode("cloud") as cloud, RealNode("us", "region", parent=cloud.start()) as us:
        us.start(cloud.token("us"))
        base = free_base_port(2)
        listen = {"peer": f"127.0.0.1:{base}", "join": f"127.0.0.1:{base + 1}"}
        with RealNode("eu", "region", parent=cloud, listen=listen) as eu:
            eu.start(cloud.token("eu"))
            with RealNode("plant-a", "site", parent=eu) as site:
                site.start(eu.token("plant-a"))
                assert site.api("PUT", "/v1/streams/plant-a/log", b"", JSON).status == 201
                append(site, range(20))
                site.until(lambda: held(cloud) == list(range(20)))
                eu.stop()
                moved = RealNode("eu", "region", parent=us, listen=listen, data_dir=eu.data_dir)
                with moved:
                    moved.start(us.token("eu"))
                    append(site, range(20, 30))
                    moved.until(lambda: held(us) == held(cloud) == list(range(30)))
                    moved.until(lambda: moved.api("GET", "/v1/status").json()["link"]["blocked"] == {})


def test_a_node_keeps_its_name_and_its_history_as_the_how_to_says(tmp_path: Path):
    page = REPOSITORY / "docs" / "howto" / "move-a-node.md"
    (create, start) = re.findall(r"^```sh\n(.*?)\n```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    littoral = f"{sys.executable} -m littoral.cli.main "
    with RealNode("cloud") as cloud, RealNode("eu", "region", parent=cloud.start()) as eu:
        eu.start(cloud.token("eu"))
        with RealNode("us", "region", parent=cloud, data_dir=tmp_path / "us") as us:
            us.start(cloud.token("us"))
            with RealNode("plant-a", "site", parent=eu, data_dir=tmp_path / "plant-a") as site:
                site.start(eu.token("plant-a"))
                assert site.api("PUT", "/v1/streams/plant-a/log", b"", JSON).status == 201
                append(site, range(20))
                site.until(lambda: held(cloud) == list(range(20)))
                site.stop()
                subprocess.run(create.replace("littoral ", littoral, 1), shell=True, cwd=tmp_path, check=True)
                command = start.replace("littoral ", f"exec {littoral}", 1)
                for port, listener in ((7403, "peer"), (7404, "join")):
                    command = command.replace(f"https://us.example:{port}", us.url(listener))
                site.process = subprocess.Popen(command, shell=True, cwd=tmp_path)
                site.until(lambda: held(us) == list(range(20)))
                append(site, range(20, 30))
                site.until(lambda: held(cloud) == list(range(30)))
                link = site.api("GET", "/v1/status").json()["link"]
                assert (link["parent"], link["connected"], link["blocked"]) == ("us", True, {})
