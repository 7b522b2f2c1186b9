"""What the page about calling other services shows is what a whole node does."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import msgspec

from tests.support.real_node import RealNode, call, until

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "call-other-services.md"


class Service(BaseHTTPRequestHandler):
    """Says the price to who may know it."""

    def do_GET(self) -> None:
        said = {"/stock": 7, "/price": self.headers.get("authorization") == "Bearer secret" and 12}[self.path]
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Into no test's output."""


@contextmanager
def service() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def apply(node: RealNode, folder: Path, port: int, egress: str) -> None:
    """The page's app, with its service at this port."""
    (folder / "main.py").write_text(blocks("python")[0], encoding="utf-8")
    document = blocks("yaml")[0].replace("127.0.0.1:8080", egress)
    document += f"  vars: {{SERVICE: 'http://127.0.0.1:{port}', TOKEN: secret}}\n  routes: [{{path: /shop}}]\n"
    (folder / "app.yaml").write_text(document, encoding="utf-8")
    command = [sys.executable, "-m", "littoral.cli.main", "apply", "-f", str(folder / "app.yaml")]
    subprocess.run([*command, "--data-dir", str(node.data_dir)], check=True, capture_output=True, timeout=60)


def answer(node: RealNode) -> bytes:
    try:
        return call(f"{node.url('gateway')}/shop").body
    except OSError as error:
        return str(error).encode()


def test_the_page(tmp_path: Path) -> None:
    with service() as port, RealNode("cloud", listen={"gateway": "127.0.0.1:0"}) as node:
        node.start()
        apply(node, tmp_path, port, f"127.0.0.1:{port}")
        until(lambda: b"stock" in answer(node), node.log)
        assert msgspec.json.decode(answer(node)) == {"stock": 7, "price": 12}

        # At another port nothing is allowed; who may not ask is told so, and so is the operator.
        apply(node, tmp_path, port, "127.0.0.1:1")
        until(lambda: b"stock" not in answer(node), node.log)
        until(lambda: 'add "127.0.0.1" or what holds it to its spec.egress' in node.log(), node.log)

        def shown() -> str:
            return call(f"{node.url('api')}/metrics").body.decode()

        until(lambda: re.search(r'littoral_egress_refused_total\{app="shop"\} [1-9]', shown()), shown)
        memory = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{node.pids()['egress']}/status").read_text())
        assert memory is not None
        assert int(memory[1]) < 80_000
