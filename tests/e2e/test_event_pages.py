"""The commands on the pages about schedules and queues do what the pages say, one page after the other on one node."""

import re
import shlex
import signal
import sys
from pathlib import Path

from tests.e2e.test_pages import DEADLINE_S, QUEUES, SCHEDULES, commands, moved, run, running, runs, until


def blocks(page: Path, kind: str) -> list[str]:
    text = moved(page.read_text(encoding="utf-8"))
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_recipes_for_schedules_and_queues(tmp_path: Path) -> None:
    littoral = f"{shlex.quote(sys.executable)} -m littoral.cli.main "

    def lines(page: Path) -> list[str]:
        return [line.replace("littoral ", littoral, 1) for line in map(moved, commands(page))]

    node_file, app_file = blocks(SCHEDULES, "yaml")
    (tmp_path / "node.yaml").write_text(node_file, encoding="utf-8")
    (tmp_path / "app.yaml").write_text(app_file, encoding="utf-8")
    (orders_file,) = blocks(QUEUES, "yaml")
    (tmp_path / "orders.yaml").write_text(orders_file, encoding="utf-8")
    for folder, page in (("app", SCHEDULES), ("orders", QUEUES)):
        (code,) = blocks(page, "python")
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "main.py").write_text(code, encoding="utf-8")
    start, apply, list_crons = lines(SCHEDULES)
    with running(start, tmp_path) as node:
        try:
            until(lambda: runs(apply, tmp_path))
            until(lambda: "0 3 * * mon-fri" in run(list_crons, tmp_path))
            apply_orders, send, list_queues, peek, purge = lines(QUEUES)
            run(apply_orders, tmp_path)
            until(lambda: runs(f"{send} --fail", tmp_path))
            until(lambda: re.search(r"^orders +orders +0 +0", run(list_queues, tmp_path), re.MULTILINE))
            assert "ATTEMPTS" in run(peek, tmp_path)
            assert run(purge, tmp_path) == "0 messages removed\n"
        finally:
            node.send_signal(signal.SIGINT)
            node.wait(DEADLINE_S)
