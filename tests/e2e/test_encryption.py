"""A node whose store is encrypted, as it is in production."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from littoral.core.resources.model import Encryption
from tests.support.real_node import RealNode

KEY, OTHER = bytes(range(32)).hex(), bytes(range(1, 33)).hex()
TEXT = b"a reading that nobody else is to read"
TEXT_HEADERS = {"content-type": "text/plain"}


def littoral(*arguments: str | Path, status: int = 0) -> str:
    command = [sys.executable, "-m", "littoral.cli.main", "store", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == status, said
    assert KEY not in said
    assert OTHER not in said
    return said


def document(folder: Path, encryption: dict[str, str] | None) -> Path:
    path = folder / "document.yaml"
    spec = {"tier": "cloud"} | ({"encryption": encryption} if encryption else {})
    path.write_bytes(
        msgspec.json.encode({"apiVersion": "littoral/v1", "kind": "Node", "metadata": {"name": "cloud"}, "spec": spec})
    )
    return path


def written(node: RealNode, text: bytes) -> None:
    assert node.api("PUT", "/v1/streams/cloud/s", headers=TEXT_HEADERS).status in (200, 201)
    assert node.api("POST", "/v1/streams/cloud/s", text, TEXT_HEADERS).status == 204


def in_files(node: RealNode) -> bool:
    return any(TEXT in path.read_bytes() for path in node.data_dir.glob("store.db*"))


def test_a_node_with_a_key_in_its_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("STORE_KEY", KEY)
    gateway = {"gateway": "127.0.0.1:0"}
    with RealNode("cloud", encryption=Encryption(key_env="STORE_KEY"), listen=gateway) as node:
        (node.data_dir / "cache" / "objects").mkdir(parents=True)
        node.start()
        assert list((node.data_dir / "cache").iterdir()) == []
        assert "cache is kept in memory only: the store is encrypted" in node.log()
        written(node, TEXT)
        assert not in_files(node)
        for process, number in node.pids().items():
            variables = Path(f"/proc/{number}/environ").read_bytes()
            assert (KEY.encode() in variables) == (process == "hub"), process
            assert KEY.encode() not in Path(f"/proc/{number}/cmdline").read_bytes()
        assert "no problems" in littoral("check", "--data-dir", node.data_dir)
        littoral("backup", tmp_path / "backup.db", "--data-dir", node.data_dir)
        assert TEXT not in (tmp_path / "backup.db").read_bytes()
        node.kill_hub()
        assert node.api("GET", "/v1/streams/cloud/s").body == TEXT
        assert "is in use by process" in littoral(
            "restore", tmp_path / "backup.db", "--data-dir", node.data_dir, status=1
        )
        written(node, b"after the backup")
        node.stop()
        littoral("restore", tmp_path / "backup.db", "--data-dir", node.data_dir, "--force")
        node.start()
        assert node.api("GET", "/v1/streams/cloud/s").body == TEXT
        assert KEY not in node.log()
        node.stop()
        monkeypatch.setenv("STORE_KEY", OTHER)
        said = node.refused()
        assert "it is encrypted with another key" in said
        assert OTHER not in said
        monkeypatch.delenv("STORE_KEY")
        assert "cannot read the store's key from $STORE_KEY: it is not set" in node.refused()


def test_a_store_is_encrypted_rekeyed_and_decrypted_between_runs(tmp_path):
    for file, key in (("one", KEY), ("two", OTHER)):
        descriptor = os.open(tmp_path / file, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, key.encode())
        os.close(descriptor)
    one, two = ({"keyFile": str(tmp_path / file)} for file in ("one", "two"))
    with RealNode("cloud") as node:
        node.start()
        written(node, TEXT)
        at = ("--data-dir", node.data_dir)
        assert "is in use by process" in littoral("encrypt", *at, "--new-config", document(tmp_path, one), status=1)
        node.stop()
        assert in_files(node)
        littoral("encrypt", *at, "--new-config", document(tmp_path, one))
        assert not in_files(node)
        assert "it is encrypted and no key is given" in node.refused()
        littoral("rekey", *at, "--config", document(tmp_path, one), "--new-config", _other(tmp_path, two))
        littoral("check", *at, "--config", tmp_path / "other.yaml")
        littoral("decrypt", *at, "--config", tmp_path / "other.yaml")
        assert in_files(node)
        littoral("encrypt", *at, "--new-config", document(tmp_path, None), status=2)
        node.start()
        assert node.api("GET", "/v1/streams/cloud/s").body == TEXT


def _other(folder: Path, encryption: dict[str, str]) -> Path:
    path = folder / "other.yaml"
    document(folder, encryption).rename(path)
    document(folder, {"keyFile": str(folder / "one")})
    return path
