"""`littoral dev --remote`: the code runs at the developer's, the bindings are those of a node that runs."""

import json
import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from littoral.core.resources import App, Namespace
from littoral.core.resources.app import AppSpec
from littoral.core.resources.app_events import AppQueues, QueueProducer
from littoral.core.resources.part import Metadata
from littoral.fleet.bundles import pack_bundle
from littoral.node.layout import PIDS_FILE
from tests.e2e.test_dev import PAGE, Dev
from tests.e2e.test_pages import commands
from tests.support.ports import free_base_port
from tests.support.real_node import RealNode, call, until

PRICES = """\
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("prices")

    def quote(self, name, *, amount=1):
        return {"name": name, "total": amount * 2.5, "who": self.ctx.props}
"""
SHOP = """\
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.url.endswith("/here"):
            return Response(await self.env.LOCAL.get("seen"))
        try:
            return Response.json(await self.all_of_it())
        except Exception as error:
            return Response(f"{type(error).__name__}: {error}", status=503)

    async def all_of_it(self):
        await self.env.LOCAL.put("seen", "here")
        found = await self.env.KV.get("greeting")
        await self.env.KV.put("seen", "by a developer", metadata={"who": "shop"})
        await self.env.JOBS.send({"n": 1})
        self.env.VISITS.writeDataPoint({"blobs": ["front"]})
        return [found, await self.env.PRICES.quote("cup", amount=2)]
"""
CONFIG: dict[str, Any] = {
    "name": "shop",
    "main": "src/entry.py",
    "compatibility_date": "2025-11-02",
    "kv_namespaces": [
        {"binding": "KV", "id": "things", "remote": True},
        {"binding": "LOCAL", "id": "local-things"},
    ],
    "queues": {"producers": [{"binding": "JOBS", "queue": "jobs", "remote": True}]},
    "services": [{"binding": "PRICES", "service": "prices", "props": {"shop": 1}, "remote": True}],
    "analytics_engine_datasets": [{"binding": "VISITS", "dataset": "visits", "remote": True}],
}


def a_node_with_what_the_project_needs(node: RealNode) -> None:
    node.start()
    node.apply(Namespace(api_version="littoral/v1", metadata=Metadata(name="things")))
    queues = AppQueues(producers=[QueueProducer(binding="JOBS", queue="jobs")])
    spec = AppSpec(main="main.py", queues=queues)
    prices = App(api_version="littoral/v1", metadata=Metadata(name="prices"), spec=spec)
    node.apply(prices, pack_bundle("prices", {"main.py": textwrap.dedent(PRICES).encode()}))
    node.until(lambda: node.api("PUT", "/v1/kv/things/greeting", b"hello").status == 204)
    node.until(lambda: node.api("GET", "/v1/queues").json())


@contextmanager
def developing(folder: Path, node: RealNode) -> Iterator[Dev]:
    project, port = folder / "shop", free_base_port(1)
    (project / "src").mkdir(parents=True)
    configure(project, CONFIG)
    (project / "src/entry.py").write_text(SHOP)
    output = folder / "output"
    (folder / "data").symlink_to(node.data_dir)
    (line,) = [each for each in commands(PAGE) if each.endswith("--remote")]
    command = [sys.executable, "-m", "littoral.cli.main", *shlex.split(line)[1:], "--port", str(port)]
    with output.open("wb") as file:
        token = (node.data_dir / "identity/operator.token").read_text().strip()
        environment = {**os.environ, "LITTORAL_TOKEN": token}
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment
        )
    try:
        yield Dev(project, port, process, output)
    finally:
        process.kill()
        process.wait()


def configure(project: Path, config: dict[str, Any]) -> None:
    (project / "wrangler.json").write_text(json.dumps(config, indent=1))


def test_a_project_uses_what_a_node_has(tmp_path: Path):
    address = f"127.0.0.1:{free_base_port(1)}"
    with RealNode("edge", listen={"api": address, "gateway": "127.0.0.1:0"}) as node:
        a_node_with_what_the_project_needs(node)
        with developing(tmp_path, node) as dev:
            what_is_remote_is_said(dev, address)
            what_is_written_is_there_and_nowhere_else(dev, node)
            the_operators_token_stays_with_the_command(dev, node)
            what_the_node_lacks_is_told_with_its_line(dev)
            while_the_node_is_away_calls_fail_and_the_rest_goes_on(dev, node)


def what_is_remote_is_said(dev: Dev, address: str) -> None:
    dev.says(f"shop at http://127.0.0.1:{dev.port} (Ctrl-C ends it)")
    there = f"is that of node edge at http://{address}: what the app does there is real\n"
    for each in ("KV (namespace things)", "JOBS (queue jobs)", "PRICES (app prices)", "VISITS (dataset visits)"):
        assert f"env.{each} {there}" in dev.said()
    assert "LOCAL" not in dev.said()


def what_is_written_is_there_and_nowhere_else(dev: Dev, node: RealNode) -> None:
    until(lambda: dev.get("/").startswith(b"["), lambda: f"{dev.get('/')!r}")
    assert json.loads(dev.get("/")) == ["hello", {"name": "cup", "total": 5.0, "who": {"shop": 1}}]
    assert node.api("GET", "/v1/kv/things/seen").body == b"by a developer"
    assert node.api("GET", "/v1/kv/things/seen?details=true").json() == {"metadata": {"who": "shop"}}
    assert node.api("GET", "/v1/queues/jobs/peek").json()[0]["head"] == '{"n":1}'
    node.until(lambda: b'"blobs":["front"]' in node.api("GET", "/v1/stream/analytics/visits?offset=-1").body)
    assert node.api("GET", "/v1/kv/local-things").status == 404
    assert dev.get("/here") == b"here"
    assert own(dev, "/v1/kv/local-things") == {"keys": ["seen"], "cursor": None}
    assert own(dev, "/v1/kv/things") == {"keys": [], "cursor": None}
    assert [each["messages"] for each in own(dev, "/v1/queues")] == [0]


def own(dev: Dev, path: str) -> Any:
    """What the developer's node says."""
    data = dev.project / ".littoral/dev"
    token = (data / "identity/operator.token").read_text().strip()
    addresses = msgspec.json.decode((data / "run/api.json").read_bytes(), type=dict[str, str])
    return call(f"http://{addresses['api']}{path}", headers={"authorization": f"Bearer {token}"}).json()


def the_operators_token_stays_with_the_command(dev: Dev, node: RealNode) -> None:
    token = (node.data_dir / "identity/operator.token").read_bytes().strip()
    data = dev.project / ".littoral/dev"
    files = [each for each in data.rglob("*") if each.is_file()]
    assert [each for each in files if token in each.read_bytes()] == []
    pids = msgspec.json.decode((data / PIDS_FILE).read_bytes(), type=dict[str, int]).values()
    assert [pid for pid in pids if token in Path(f"/proc/{pid}/environ").read_bytes()] == []


def what_the_node_lacks_is_told_with_its_line(dev: Dev) -> None:
    kv = [CONFIG["kv_namespaces"][0], {**CONFIG["kv_namespaces"][1], "remote": True}]
    configure(dev.project, {**CONFIG, "kv_namespaces": kv})
    (line,) = [
        n for n, text in enumerate((dev.project / "wrangler.json").read_text().splitlines(), 1) if '"LOCAL"' in text
    ]
    dev.says(
        f"wrangler.json:{line - 1}: kv_namespaces[1]: env.LOCAL (namespace local-things) cannot be remote: node edge"
    )
    dev.says("(nothing was reloaded; the last revision that could goes on)")
    configure(dev.project, CONFIG)
    assert dev.get("/").startswith(b"[")


def while_the_node_is_away_calls_fail_and_the_rest_goes_on(dev: Dev, node: RealNode) -> None:
    node.stop()
    said = dev.get("/").decode()
    assert said.startswith("KVError: cannot get in kv things: it is a remote binding, and node edge at http://"), said
    assert "does not answer: connection refused. See whether it runs" in said
    assert dev.get("/here") == b"here"
    node.start()
    until(lambda: dev.get("/").startswith(b"["), lambda: f"{dev.get('/')!r}")
