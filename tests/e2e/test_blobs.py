"""Blobs as users move them: the command line, curl, and nodes that are killed meanwhile."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from littoral.core.resources.model import Encryption
from littoral.store.blob_file import finished_path
from tests.support.real_node import RealNode, until

MIB = 1 << 20
TEXT = b"a reading that nobody else is to read. "
DEADLINE_S = 90


def littoral(*arguments: str | Path, stdin: bytes | None = None, status: int = 0) -> str:
    command = [sys.executable, "-m", "littoral.cli.main", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == status, (done.stdout + done.stderr).decode()
    return (done.stdout if status == 0 else done.stderr).decode()


def large_file(path: Path, size: int) -> str:
    """A file of so many bytes that cannot be compressed; returns its digest."""
    found = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size // MIB):
            piece = os.urandom(MIB)
            found.update(piece)
            file.write(piece)
    return f"sha256:{found.hexdigest()}"


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def entries(node: RealNode) -> dict[str, dict]:
    return {each["digest"]: each for each in node.api("GET", "/v1/blobs").json()["blobs"]}


def metric(node: RealNode, name: str) -> float:
    lines = node.api("GET", "/metrics").body.decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


def test_a_large_blob_goes_up_through_kills_and_comes_back(tmp_path):
    digest = large_file(tmp_path / "image", 100 * MIB)
    # Small pieces, so that there is a middle to be killed in.
    with RealNode("cloud") as root, RealNode("plant-a", "site", parent=root.start(), blob_piece_bytes=262_144) as site:
        site.start(root.token("plant-a"))
        assert littoral("blob", "put", tmp_path / "image", "--send", "--data-dir", site.data_dir).strip() == digest
        root.until(lambda: entries(root).get(digest, {"have": 0})["have"] > 5 * MIB)
        site.kill_hub()
        had = entries(root)[digest]["have"]
        assert had < 100 * MIB
        root.until(lambda: entries(root)[digest]["have"] > had)
        root.kill_hub()
        before = entries(root)[digest]
        assert before["have"] > had
        assert before["state"] == "coming"
        until(lambda: entries(root)[digest]["state"] == "here", lambda: str(entries(root)))
        # What was there when it was killed has not been sent again.
        assert metric(root, "littoral_blobs_received_bytes_total") <= 100 * MIB - before["have"] + MIB
        site.until(lambda: entries(site)[digest]["state"] == "above")
        littoral("blob", "get", digest, "-o", tmp_path / "back", "--data-dir", root.data_dir)
        assert digest_of(tmp_path / "back") == digest
        assert "no problems" in littoral("store", "check", "--data-dir", root.data_dir)
        # Down again, to a node that has it no more.
        littoral("blob", "drop", digest, "--data-dir", site.data_dir)
        assert entries(site) == {}
        littoral("blob", "get", digest, "-o", tmp_path / "again", "--data-dir", site.data_dir)
        assert digest_of(tmp_path / "again") == digest
        assert entries(site)[digest]["state"] == "above"


def test_an_upload_goes_on_after_the_node_was_killed(tmp_path):
    digest = large_file(tmp_path / "image", 64 * MIB)
    with RealNode("cloud") as node:
        node.start()
        command = [sys.executable, "-m", "littoral.cli.main", "blob", "put", str(tmp_path / "image")]
        with subprocess.Popen([*command, "--data-dir", str(node.data_dir)], stdout=subprocess.PIPE) as put:
            node.until(lambda: digest in entries(node))
            node.kill_hub()
            said, _ = put.communicate(timeout=DEADLINE_S)
        assert put.returncode == 0
        assert said.decode().strip() == digest
        assert entries(node)[digest]["state"] == "here"
        # Again: nothing is sent.
        had = metric(node, "littoral_blobs_received_bytes_total")
        littoral("blob", "put", tmp_path / "image", "--data-dir", node.data_dir)
        assert metric(node, "littoral_blobs_received_bytes_total") == had


def test_curl_puts_and_gets_ranges(tmp_path):
    with RealNode("cloud") as node:
        node.start()
        token = (node.data_dir / "identity" / "operator.token").read_text().strip()
        data = bytes(range(256)) * 4096
        (tmp_path / "data").write_bytes(data)

        def curl(*arguments: str) -> bytes:
            command = ["curl", "-sS", "-H", f"Authorization: Bearer {token}", *arguments]
            return subprocess.run(command, capture_output=True, check=True, timeout=DEADLINE_S).stdout

        url = f"{node.url('api')}/v1/blobs"
        answer = msgspec.json.decode(curl("-T", str(tmp_path / "data"), url))
        assert answer == {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
        blob = f"{url}/{answer['digest']}"
        assert curl(blob) == data
        assert curl("-r", "1000-2999", blob) == data[1000:3000]
        assert curl("-r", "-5", blob) == data[-5:]
        head = curl("-I", blob).decode().lower()
        assert f"content-length: {len(data)}" in head
        assert "accept-ranges: bytes" in head
        assert b"416" in curl("-r", f"{len(data)}-", "-o", "/dev/null", "-w", "%{http_code}", blob)
        # Goes on in the middle, as after a broken download.
        (tmp_path / "part").write_bytes(data[:777])
        curl("-C", "-", "-o", str(tmp_path / "part"), blob)
        assert (tmp_path / "part").read_bytes() == data
        assert curl("-X", "DELETE", "-w", "%{http_code}", blob) == b"204"
        assert b"no such blob" in curl("-X", "DELETE", blob)
        assert b"it is nowhere on the way to the root" in curl(blob)
        assert b"the digest of what came is" in curl("-T", str(tmp_path / "data"), f"{url}/sha256:{'0' * 64}")
        assert "it is no digest" in littoral("blob", "get", "abc", "-o", "-", "--data-dir", node.data_dir, status=1)
        gone = littoral("blob", "get", f"sha256:{'0' * 64}", "-o", "-", "--data-dir", node.data_dir, status=1)
        assert "neither this node nor any above it has it" in gone
        small = littoral("blob", "put", "-", "--data-dir", node.data_dir, stdin=b"from stdin").strip()
        assert littoral("blob", "get", small, "-o", "-", "--data-dir", node.data_dir) == "from stdin"
        assert small in littoral("blob", "list", "--data-dir", node.data_dir)


def test_damage_on_the_disk_is_found_by_check_and_by_reading(tmp_path):
    with RealNode("cloud") as node:
        node.start()
        digest = littoral("blob", "put", "-", "--data-dir", node.data_dir, stdin=b"x" * 100_000).strip()
        assert "1 blobs, 97.7 KiB" in littoral("store", "check", "--data-dir", node.data_dir)
        path = node.data_dir / finished_path(digest.removeprefix("sha256:"))
        content = bytearray(path.read_bytes())
        content[50_000] ^= 1
        path.write_bytes(content)
        command = [sys.executable, "-m", "littoral.cli.main", "store", "check", "--data-dir", str(node.data_dir)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        assert done.returncode == 1
        assert f"blob {digest}: its bytes from 49152 on are not what was written" in done.stdout
        said = littoral("blob", "get", digest, "-o", tmp_path / "x", "--data-dir", node.data_dir, status=1)
        assert "its bytes from 49152 on are not what was written" in said


def document(folder: Path, encryption: dict[str, str] | None) -> Path:
    path = folder / "document.yaml"
    spec = {"tier": "cloud"} | ({"encryption": encryption} if encryption else {})
    content = {"apiVersion": "littoral/v1", "kind": "Node", "metadata": {"name": "cloud"}, "spec": spec}
    path.write_bytes(msgspec.json.encode(content))
    return path


def in_blobs(node: RealNode) -> bool:
    return any(TEXT in path.read_bytes() for path in (node.data_dir / "blobs").rglob("*") if path.is_file())


def with_encryption(node: RealNode, encryption: Encryption | None) -> None:
    spec = msgspec.structs.replace(node.config.spec, encryption=encryption)
    node.config = msgspec.structs.replace(node.config, spec=spec)


def test_blobs_are_encrypted_as_the_store_is(tmp_path):
    keys = [tmp_path / "store.key", tmp_path / "store-2.key"]
    for n, key in enumerate(keys):
        key.write_text(bytes([n] * 32).hex())
        key.chmod(0o600)
    first, second = ({"keyFile": str(key)} for key in keys)
    data = TEXT * 50_000
    with RealNode("cloud") as node:
        where = ("--data-dir", node.data_dir)
        node.start()
        digest = littoral("blob", "put", "-", *where, stdin=data).strip()
        assert in_blobs(node)
        node.stop()
        littoral("store", "encrypt", *where, "--new-config", document(tmp_path, first))
        assert not in_blobs(node)
        with_encryption(node, Encryption(key_file=str(keys[0])))
        node.start()
        assert littoral("blob", "get", digest, "-o", "-", *where).encode() == data
        other = littoral("blob", "put", "-", *where, stdin=data + TEXT).strip()
        assert not in_blobs(node)
        assert "2 blobs" in littoral("store", "check", *where)
        node.stop()
        files = {path: path.read_bytes() for path in (node.data_dir / "blobs").rglob("*") if path.is_file()}
        (tmp_path / "old").mkdir()
        old = document(tmp_path / "old", first)
        littoral("store", "rekey", *where, "--config", old, "--new-config", document(tmp_path, second))
        # Another key of the store is another lock for the same key of the blobs.
        assert {path: path.read_bytes() for path in files} == files
        with_encryption(node, Encryption(key_file=str(keys[0])))
        assert "it is encrypted with another key" in node.refused()
        with_encryption(node, Encryption(key_file=str(keys[1])))
        node.start()
        assert littoral("blob", "get", other, "-o", "-", *where).encode() == data + TEXT
        node.stop()
        littoral("store", "decrypt", *where, "--config", document(tmp_path, second))
        assert in_blobs(node)
        with_encryption(node, None)
        node.start()
        for each in (digest, other):
            assert littoral("blob", "get", each, "-o", "-", *where).encode().startswith(data)
        assert "no problems" in littoral("store", "check", *where)
