"""The commands of docs/howto/see-what-devices-send.md, at a hub."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.support.operator_hub import serving_root
from tests.support.real_node import call, until

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "see-what-devices-send.md"
DEADLINE_S = 60


def started(command: str, folder: Path) -> subprocess.Popen[str]:
    command = re.sub(r"\blittoral (?=mqtt)", f"{shlex.quote(sys.executable)} -m littoral.cli.main ", command)
    return subprocess.Popen(["sh", "-c", command], cwd=folder, stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    with process:
        out, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, process.args
    return same(out)


def same(text: str) -> str:
    """Without what differs each time: how long ago something was, and how wide that is."""
    return "\n".join(re.sub(r" +\d+s\b", " AGE", line).rstrip() for line in text.splitlines())


def test_the_recipe_for_what_devices_send(tmp_path: Path):
    fences = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    publish, feed, topics, levels, follow, more = (
        line for kind, block in fences if kind == "sh" for line in block.splitlines()
    )
    table, branches, followed = (same(block) for kind, block in fences if not kind)
    data_dir = tmp_path / "data"
    with serving_root(data_dir) as url:
        for command in (publish, feed):
            ended(started(command, tmp_path))
        assert ended(started(topics, tmp_path)) == table
        assert ended(started(levels, tmp_path)) == branches
        sub = started(follow, tmp_path)
        until(lambda: b"littoral_mqtt_watches 1" in call(f"{url}/metrics").body)
        ended(started(more, tmp_path))
        assert ended(sub) == followed
