"""`littoral dev`: a project that runs while it is written, in a node that leaves nothing behind."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from littoral.node.layout import PIDS_FILE
from tests.e2e.test_pages import commands
from tests.support.functions_node import gone
from tests.support.ports import free_base_port
from tests.support.real_node import DEADLINE_S, call, until

ENTRY = """\
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.url.endswith("/fails"):
            print("about to fail")
            self.divide()
        return Response(f"one, {self.env.TOKEN}")

    def divide(self):
        return 1 / 0
"""
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "develop-a-project.md"
HERE = ("littoral call", "littoral logs shop\n")
"""How commands of the page begin that find the node by themselves."""
CONFIG = {"name": "shop", "main": "src/entry.py", "compatibility_date": "2025-11-02", "route": "shop.example/*"}


class Dev:
    """The command, running."""

    def __init__(self, project: Path, port: int, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.project = project
        self.port = port
        self.process = process
        self._output = output

    def said(self) -> str:
        return self._output.read_text()

    def says(self, text: str) -> None:
        """Wait until it does."""
        until(lambda: text in self.said() or self.process.poll() is not None, self.said)
        assert text in self.said(), self.said()

    def get(self, path: str = "/") -> bytes:
        return call(f"http://127.0.0.1:{self.port}{path}").body

    def save(self, text: str) -> None:
        (self.project / "src/entry.py").write_text(text)

    def processes(self) -> list[int]:
        pids = msgspec.json.decode((self.project / ".littoral/dev" / PIDS_FILE).read_bytes(), type=dict[str, int])
        forked = Path(f"/proc/{pids['functions']}/task/{pids['functions']}/children").read_text()
        return [*pids.values(), *map(int, forked.split())]


def running(project: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "littoral.cli.main", "dev", str(project), "--port", str(port)]


@contextmanager
def developing(folder: Path) -> Iterator[Dev]:
    project, port = folder / "shop", free_base_port(1)
    (project / "src").mkdir(parents=True)
    (project / "wrangler.json").write_text(json.dumps(CONFIG))
    (project / ".dev.vars").write_text('TOKEN="a secret"\n')
    (project / "src/entry.py").write_text(ENTRY)
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(running(project, port), stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield Dev(project, port, process, output)
    finally:
        process.kill()
        process.wait()


def test_a_project_runs_while_it_is_written(tmp_path: Path):
    with developing(tmp_path) as dev:
        dev.says(f"shop at http://127.0.0.1:{dev.port} (Ctrl-C ends it)")
        assert dev.get() == b"one, a secret"
        the_port_is_taken_and_it_is_said_by_whom(dev)
        what_is_saved_runs(dev)
        what_is_broken_is_told_and_the_last_good_one_goes_on(dev)
        what_fails_is_shown_with_the_lines_of_the_source(dev)
        commands_find_the_node(dev)
        ctrl_c_leaves_no_process(dev)


def the_port_is_taken_and_it_is_said_by_whom(dev: Dev) -> None:
    second = subprocess.run(running(dev.project, dev.port), capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert f"the port is in use by python (pid {dev_supervisor(dev)})" in second.stderr.replace("python3.11", "python")
    assert f"--port {dev.port + 1}" in second.stderr


def dev_supervisor(dev: Dev) -> int:
    (pid,) = Path(f"/proc/{dev.process.pid}/task/{dev.process.pid}/children").read_text().split()
    return int(pid)


def what_is_saved_runs(dev: Dev) -> None:
    dev.save(ENTRY.replace("one", "two"))
    dev.says("ms: src/entry.py")
    assert dev.get() == b"two, a secret"
    (dev.project / ".dev.vars").write_text("export TOKEN=another # for now\n")
    dev.says("ms: .dev.vars")
    assert dev.get() == b"two, another"


def what_is_broken_is_told_and_the_last_good_one_goes_on(dev: Dev) -> None:
    dev.save(ENTRY.replace("async def", "async"))
    dev.says("src/entry.py:4: invalid syntax")
    dev.save(ENTRY.replace("from workers", "import lost\nfrom workers"))
    dev.says("No module named 'lost'\n(nothing was reloaded; the last revision that could goes on)")
    (dev.project / "wrangler.json").write_text(json.dumps({**CONFIG, "d1_databases": [{"binding": "DB"}]}))
    dev.says("d1_databases: it needs SQL databases (D1)")
    assert dev.get() == b"two, another"
    (dev.project / "wrangler.json").write_text(json.dumps(CONFIG))
    dev.save(ENTRY.replace("one", "three"))
    until(lambda: dev.get() == b"three, another", dev.said)


def what_fails_is_shown_with_the_lines_of_the_source(dev: Dev) -> None:
    page = call(f"http://127.0.0.1:{dev.port}/fails", headers={"accept": "text/html"})
    assert (page.status, page.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert b"ZeroDivisionError: division by zero</title>" in page.body
    assert b"File &quot;src/entry.py&quot;, line 11, in divide\n    return 1 / 0\n" in page.body
    assert dev.get("/fails").startswith(b"GET http://")
    dev.says("about to fail")
    dev.says(f'File "{dev.project}/src/entry.py", line 7, in fetch')
    dev.says("return 1 / 0")
    dev.says("GET /fails 500")
    assert "functions/worker/worker.py" not in dev.said()


def commands_find_the_node(dev: Dev) -> None:
    def littoral(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LITTORAL_")}
        line = [sys.executable, "-m", "littoral.cli.main", *arguments]
        return subprocess.run(
            line, cwd=dev.project, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    for line in commands(PAGE):
        if f"{line}\n".startswith(HERE):
            done = littoral(*shlex.split(line)[1:])
            assert (done.returncode, done.stderr) == (0, ""), line
    answered = littoral("call", "/x", "-i")
    assert answered.stdout.startswith("HTTP/1.1 200 OK\n"), answered
    assert answered.stdout.endswith("three, another")
    assert littoral("call", "/fails").returncode == 1
    until(
        lambda: "GET /x 200" in littoral("logs", "shop", "-n", "3").stdout or littoral("call", "/x").returncode,
        dev.said,
    )
    logged = [json.loads(line) for line in littoral("logs", "shop", "--json").stdout.splitlines()]
    assert {"about to fail"} < {each["text"] for each in logged}
    failures = {each["requestId"] for each in logged if each["text"] == "ZeroDivisionError: division by zero"}
    assert len(failures - {""}) == 3


def ctrl_c_leaves_no_process(dev: Dev) -> None:
    processes = dev.processes()
    assert len(processes) > 3
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(DEADLINE_S) == 0
    until(lambda: all(map(gone, processes)))
