"""The commands on the page about data and secrets of functions do what the page says."""

import json
import shlex
import signal
import sys
from pathlib import Path

from tests.e2e.test_event_pages import blocks
from tests.e2e.test_pages import DEADLINE_S, KEEPING, commands, moved, run, running, runs, until


def test_the_recipe_for_data_and_secrets(tmp_path: Path) -> None:
    littoral = f"{shlex.quote(sys.executable)} -m littoral.cli.main "
    node_file, app_file = blocks(KEEPING, "yaml")
    (code,) = blocks(KEEPING, "python")
    (tmp_path / "app").mkdir()
    for name, text in (("node.yaml", node_file), ("app.yaml", app_file), ("app/main.py", code)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    lines = [line.replace("littoral ", littoral, 1) for line in map(moved, commands(KEEPING))]
    start, apply, set_secret, ask, look = lines
    with running(start, tmp_path) as node:
        try:
            until(lambda: runs(apply, tmp_path))
            assert run(set_secret, tmp_path) == ""
            until(lambda: runs(ask, tmp_path) and run(ask, tmp_path).startswith("visit "))
            told = json.loads(run(look, tmp_path))
            assert told["metadata"]["seen"] >= 1
            assert "expiration" in told
        finally:
            node.send_signal(signal.SIGINT)
            node.wait(DEADLINE_S)
