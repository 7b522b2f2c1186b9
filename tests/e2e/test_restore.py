"""A region is set back to a backup, as the how-to says: real processes, and a node that has joined since is there again."""

import subprocess
import sys
from pathlib import Path

from tests.support.ports import free_base_port
from tests.support.real_node import RealNode


def store(command: str, file: Path, node: RealNode, *options: str) -> None:
    arguments = [
        sys.executable,
        "-m",
        "littoral.cli.main",
        "store",
        command,
        str(file),
        "--data-dir",
        str(node.data_dir),
    ]
    subprocess.run([*arguments, *options], check=True, capture_output=True)


def is_connected(node: RealNode) -> bool:
    return bool(node.api("GET", "/v1/status").json()["link"]["connected"])


def names(node: RealNode) -> list[str]:
    return [each["node"] for each in node.api("GET", "/v1/nodes").json()]


def test_who_joined_after_the_backup_is_let_in_again_by_itself(tmp_path: Path):
    backup, base = tmp_path / "backup.db", free_base_port(2)
    listen = {"peer": f"127.0.0.1:{base}", "join": f"127.0.0.1:{base + 1}"}
    with RealNode("cloud") as cloud, RealNode("eu", "region", parent=cloud.start(), listen=listen) as eu:
        eu.start(cloud.token("eu"))
        store("backup", backup, eu)
        with RealNode("plant-a", "site", parent=eu) as site:
            site.start(eu.token("plant-a"))
            site.until(lambda: is_connected(site))
            eu.stop()
            store("restore", backup, eu, "--force")
            site.until(lambda: not is_connected(site))
            again = RealNode("eu", "region", parent=cloud, listen=listen, data_dir=eu.data_dir)
            with again:
                again.start()
                site.until(lambda: is_connected(site))
                again.until(lambda: names(again) == ["eu", "plant-a"])
