"""Memory of a node with nothing to do: every listener open, a rule and an app placed, after one request."""

import contextlib
import http.client
import tempfile
import time
from pathlib import Path

from benches.harness import DEADLINE_S, Row, process_pss_mb
from benches.mqtt_rules import STILL, rule
from benches.node import BenchNode, running_node, wait_for
from littoral.core.resources.app import App, AppSpec
from littoral.core.resources.part import Metadata, RouteMatch
from littoral.fleet.bundles import pack_bundle
from littoral.fleet.desired import record_of

HUB_MOST_MB = 80.0
NODE_MOST_MB = 180.0
SETTLE_S = 3.0
CODE = b"""
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("hello")
"""


def _place(node: BenchNode) -> None:
    app = App(
        api_version="littoral/v1",
        metadata=Metadata(name="hello"),
        spec=AppSpec(main="main.py", routes=[RouteMatch(path="/hello")]),
    )
    node.apply([record_of(rule("still", STILL), None), record_of(app, pack_bundle("hello", {"main.py": CODE}))])
    # The gateway gets to know of an app a moment after its worker is ready.
    wait_for(lambda: _is_served(node))


def _is_served(node: BenchNode) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", node.port("gateway"), timeout=DEADLINE_S)
    with contextlib.closing(connection):
        connection.request("GET", "/hello")
        answer = connection.getresponse()
        return (answer.status, answer.read()) == (200, b"hello")


def _with_children(pid: int) -> list[int]:
    """A process and all below it: the functions' processes are forked from one that the supervisor knows."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(each for child in children for each in _with_children(int(child)))]


def measure() -> list[Row]:
    """Rows for the table."""
    with tempfile.TemporaryDirectory() as directory, running_node(Path(directory)) as node:
        _place(node)
        time.sleep(SETTLE_S)
        known = node.pids()
        every = _with_children(node.supervisor)
        memory = {pid: process_pss_mb(pid) for pid in every}
        rows = [
            Row(f"memory of an idle node: {name}", sum(memory[each] for each in _with_children(pid)), "MB")
            for name, pid in known.items()
        ]
        rows[list(known).index("hub")] = Row(
            "memory of an idle node: hub", memory[known["hub"]], "MB", most=HUB_MOST_MB
        )
        rows.append(Row("memory of an idle node: supervisor", memory[node.supervisor], "MB"))
        rows.append(Row("memory of an idle node: all", sum(memory.values()), "MB", most=NODE_MOST_MB))
        return rows
