"""The code of apps at a node whose store is encrypted: it runs, and is not on the disk."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from littoral.core.resources.model import Encryption
from littoral.node.code_place import code_place, remove_code
from tests.support.real_node import RealNode, call

SECRET = "a formula that nobody else is to read"
CODE = f'''
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("{SECRET}")
'''
APP = """
apiVersion: littoral/v1
kind: App
metadata: {name: shop}
spec:
  source: shop
  main: main.py
  routes: [{path: /shop}]
"""


def on_disk(node: RealNode) -> bool:
    files = [path for path in node.data_dir.rglob("*") if path.is_file() and not path.is_socket()]
    return any(SECRET.encode() in path.read_bytes() for path in files)


def answer(node: RealNode) -> bytes:
    try:
        return call(f"{node.url('gateway')}/shop").body
    except OSError as error:
        return str(error).encode()


def apply(node: RealNode, folder: Path) -> None:
    (folder / "shop").mkdir(exist_ok=True)
    (folder / "shop" / "main.py").write_text(CODE, encoding="utf-8")
    (folder / "app.yaml").write_text(APP, encoding="utf-8")
    command = [sys.executable, "-m", "littoral.cli.main", "apply", "-f", str(folder / "app.yaml")]
    subprocess.run([*command, "--data-dir", str(node.data_dir)], check=True, capture_output=True, timeout=60)


def test_code_is_in_memory_while_the_node_runs_and_nowhere_else(tmp_path):
    key = tmp_path / "store.key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    with RealNode("cloud", listen={"gateway": "127.0.0.1:0"}) as node:
        node.start()
        apply(node, tmp_path)
        node.until(lambda: answer(node) == SECRET.encode())
        assert on_disk(node)
        node.stop()
        document = tmp_path / "node.yaml"
        encryption = Encryption(key_file=str(key))
        spec = msgspec.structs.replace(node.config.spec, encryption=encryption)
        node.config = msgspec.structs.replace(node.config, spec=spec)
        document.write_bytes(msgspec.json.encode(node.config))
        command = [sys.executable, "-m", "littoral.cli.main", "store", "encrypt", "--new-config", str(document)]
        subprocess.run([*command, "--data-dir", str(node.data_dir)], check=True, capture_output=True, timeout=60)
        assert not on_disk(node)
        try:
            node.start()
            node.until(lambda: answer(node) == SECRET.encode())
            assert not on_disk(node)
            place = code_place(node.data_dir, os.environ, encrypted=True)
            assert SECRET in next(place.rglob("main.py")).read_text(encoding="utf-8")
            # A hub that is killed finds it again; a node that stops leaves nothing.
            node.kill_hub()
            node.until(lambda: answer(node) == SECRET.encode())
            node.stop()
            assert not place.exists()
        finally:
            remove_code(node.data_dir, os.environ)
