"""What people and networks get wrong, against real processes: a clear error that says what to do, nothing acknowledged
is lost, and everybody else is served on."""

import os
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from littoral.core.resources import App, Namespace
from littoral.core.resources.part import Metadata
from littoral.drivers.random import SystemRandom
from littoral.fleet.bundles import pack_bundle
from littoral.security.ca import fingerprint_of
from littoral.security.join import create_token
from littoral.store.schema import FORMAT_VERSION
from littoral.wire import mqtt
from tests.support.certificates import Pair, TestCa
from tests.support.real_node import MqttClient, RealNode, call, until

MIB = 1 << 20
TEXT = {"content-type": "text/plain"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[RealNode]:
    """A root that goes on serving whatever the tests do to it."""
    with RealNode("cloud", listen={"gateway": "127.0.0.1:0"}, mqtt_packet_bytes=64 * 1024) as node:
        node.start()
        yield node
        assert node.api("GET", "/v1/status").status == 200
        assert "Traceback" not in node.log(), node.log()


@pytest.fixture
def site(cloud: RealNode) -> Iterator[RealNode]:
    """A node that wants to join."""
    with RealNode("plant-a", "site", parent=cloud) as node:
        yield node


@pytest.fixture(scope="class")
def joined(cloud: RealNode) -> Iterator[RealNode]:
    """One that has joined."""
    with RealNode("plant-a", "site", parent=cloud) as node:
        yield node.start(cloud.token("plant-a"))


def append(node: RealNode, stream: str, body: bytes) -> int:
    """The status of the answer: 204 acknowledges."""
    return node.api("POST", f"/v1/streams/{node.name}/{stream}", body, TEXT).status


def open_stream(node: RealNode, stream: str) -> None:
    assert node.api("PUT", f"/v1/streams/{node.name}/{stream}", b"", TEXT).status == 201


def content(node: RealNode, stream: str) -> bytes:
    """All of a stream, slice by slice."""
    data, offset = b"", "-1"
    while True:
        reply = node.api("GET", f"/v1/streams/{node.name}/{stream}?offset={offset}")
        assert reply.status == 200, reply.body
        headers = {name.lower(): value for name, value in reply.headers.items()}
        data += reply.body
        offset = headers["stream-next-offset"]
        if "stream-up-to-date" in headers:
            return data


class TestJoining:
    @pytest.mark.parametrize(
        ("token", "said"),
        [
            ("garbage", 'it does not begin with "lt1."'),
            ("lt1.!!!", "it holds characters no token has"),
            ("lt1.", "it is cut short or damaged"),
        ],
    )
    def test_what_is_no_token(self, site: RealNode, token: str, said: str):
        log = site.refused(token)
        assert f"error: cannot read join token: {said}" in log
        assert "Copy the whole line that `littoral token create` printed" in log

    def test_a_token_that_lost_its_end(self, cloud: RealNode, site: RealNode):
        log = site.refused(cloud.token("plant-a")[:-20])
        assert "cannot read join token" in log
        assert "Copy the whole line" in log

    def test_no_token_at_all(self, site: RealNode):
        log = site.refused()
        assert "it has no identity yet and no join token was given" in log
        assert "Run `littoral token create plant-a` at the parent and start with --token" in log

    def test_a_token_that_the_parent_does_not_know(self, cloud: RealNode, site: RealNode):
        log = site.refused(forged(cloud, fingerprint_of((cloud.data_dir / "identity" / "ca.pem").read_bytes())))
        assert "cannot accept join token of plant-a: it is unknown here" in log
        assert "Create a new one with `littoral token create plant-a` at the parent" in log

    def test_a_token_that_another_key_has_used(self, cloud: RealNode, site: RealNode):
        token = cloud.token("plant-a")
        site.start(token)
        with RealNode("plant-a", "site", parent=cloud) as thief:
            log = thief.refused(token)
        assert "cannot accept join token of plant-a: it was used already; a token lets one node in once" in log
        assert "Create a new one with `littoral token create plant-a`" in log
        assert site.api("GET", "/v1/status").json()["link"]["parent"] == "cloud"

    def test_an_expired_token(self, cloud: RealNode, site: RealNode):
        token = cloud.token("plant-a", ttl_s=1)
        expires_s = time.monotonic() + 1.1
        until(lambda: time.monotonic() > expires_s)
        log = site.refused(token)
        assert "cannot accept join token of plant-a: it expired" in log
        assert "Create a new one with `littoral token create plant-a`" in log

    def test_a_token_for_another_node(self, cloud: RealNode, site: RealNode):
        log = site.refused(cloud.token("plant-b"))
        assert "cannot enrol plant-a: the join token is for node plant-b. Create one for this node" in log

    def test_a_parent_of_another_tree(self, cloud: RealNode, site: RealNode):
        other = fingerprint_of(TestCa("another root").pem)
        log = site.refused(forged(cloud, other))
        assert "its CA is not the one that the join token names: this is another tree" in log
        assert "Create a token at the node you mean, with `littoral token create plant-a`" in log

    def test_a_stranger_has_little_to_say(self, cloud: RealNode):
        anyone = ssl.create_default_context(cafile=str(cloud.data_dir / "identity" / "ca.pem"))
        with (
            socket.create_connection(("127.0.0.1", cloud.port("join")), 10) as raw,
            anyone.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(b"POST /v1/join/enrol HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n")
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 413 ")

    def test_no_secret_is_in_any_log(self, cloud: RealNode, site: RealNode):
        token = cloud.token("plant-a")
        site.start(token)
        operator = (cloud.data_dir / "identity" / "operator.token").read_text(encoding="ascii").strip()
        for log in (cloud.log(), site.log()):
            assert token.removeprefix("lt1.") not in log
            assert operator not in log
            assert "PRIVATE KEY" not in log


def forged(cloud: RealNode, fingerprint: bytes) -> str:
    """A well-formed token that the parent never made."""
    text, _ = create_token(
        node="plant-a",
        parent="cloud",
        join_url=cloud.url("join"),
        ca_fingerprint=fingerprint,
        ttl_ms=60_000,
        now_ms=0,
        random=SystemRandom(),
    )
    return text


class TestPeerListener:
    def test_nobody_without_a_certificate_of_this_tree_gets_through_tls(self, cloud: RealNode, tmp_path: Path):
        assert "required" in tls_refusal(cloud, None, tmp_path).lower()
        stranger = TestCa("another root").issue("plant-a")
        assert tls_refusal(cloud, stranger, tmp_path)

    @pytest.mark.parametrize("token", ["", "Bearer x", "Bearer a.b.c", "Basic Zm9vOmJhcg=="])
    def test_a_certificate_without_a_valid_node_token_is_not_enough(
        self, cloud: RealNode, joined: RealNode, token: str
    ):
        status, body = peer_request(cloud, joined, {"authorization": token} if token else {})
        problem = msgspec.json.decode(body)
        assert status == 401, body
        assert problem["kind"] == "Unauthenticated"
        assert problem["cause"]


def context_of(node: RealNode, pair: Pair | None, folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(node.data_dir / "identity" / "ca.pem"))
    if pair is not None:
        context.load_cert_chain(*map(str, pair.write(folder, "stranger")))
    return context


def tls_refusal(node: RealNode, pair: Pair | None, folder: Path) -> str:
    """How the TLS handshake, or the first read after it, is refused."""
    context = context_of(node, pair, folder)
    with socket.create_connection(("127.0.0.1", node.port("peer"))) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
                tls.sendall(b"GET /v1/peer/notify HTTP/1.1\r\nhost: x\r\n\r\n")
                answer = tls.recv(1000)
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
            return str(error)
    raise AssertionError(f"it was let in: {answer!r}")


def peer_request(parent: RealNode, child: RealNode, headers: dict[str, str]) -> tuple[int, bytes]:
    """A request with the child's certificate."""
    identity = child.data_dir / "identity"
    context = ssl.create_default_context(cafile=str(identity / "ca.pem"))
    context.load_cert_chain(str(identity / "cert.pem"), str(identity / "key.pem"))
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with (
        socket.create_connection(("127.0.0.1", parent.port("peer"))) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall(f"GET /v1/peer/notify HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n".encode())
        data = b""
        while piece := tls.recv(65536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


class TestMqtt:
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"\x00\x00", id="no packet type"),
            pytest.param(b"\x30\xff\xff\xff\xff\x7f", id="length of five bytes"),
            pytest.param(b"\x32\x03\x00\x05a", id="topic longer than its packet"),
            pytest.param(b"\x36\x05\x00\x01a\x00\x01", id="QoS 3"),
            pytest.param(b"\x82\x02\x00\x01", id="SUBSCRIBE without a filter"),
            pytest.param(b"\x32\x07\x00\x03a/#\x00\x01", id="wildcard in a topic"),
            pytest.param(b"GET / HTTP/1.1\r\nHost: plant-a\r\nUser-Agent: " + b"x" * 100, id="HTTP"),
        ],
    )
    def test_a_malformed_packet_closes_that_connection_and_no_other(self, cloud: RealNode, data: bytes):
        with closing(cloud.mqtt("good")) as good, closing(cloud.mqtt("bad")) as bad:
            bad.send(data)
            assert bad.receive() is None
            assert good.publish("factory/line", b"1")

    def test_what_does_not_begin_with_connect_is_closed(self, cloud: RealNode):
        with closing(MqttClient(cloud.port("mqtt"))) as client:
            client.send(mqtt.encode(mqtt.PingReq()))
            assert client.receive() is None

    def test_a_client_of_a_version_there_is_not_is_told_so(self, cloud: RealNode):
        with closing(MqttClient(cloud.port("mqtt"))) as client:
            client.send(b"\x10\x0e\x00\x04MQTT\x06\x02\x00\x0a\x00\x00\x01x")
            head = client.socket.recv(100)
            assert head[0] == 0x20
            assert head[3] == 0x84, "unsupported protocol version, in the form that version 5 reads"
            assert client.receive() is None

    def test_a_version_5_client_is_told_why(self, cloud: RealNode):
        with closing(MqttClient(cloud.port("mqtt"))) as client:
            client.send(mqtt.encode(mqtt.Connect("x", clean_start=True, keep_alive_s=0, level=mqtt.MQTT_5)))
            assert client.socket.recv(100)[0] == 0x20
            client.send(b"\x82\x03\x00\x01\x00")
            head = client.socket.recv(100)
            assert (head[0], head[2]) == (0xE0, 0x82), "DISCONNECT, protocol error: SUBSCRIBE without a filter"
            assert client.receive() is None

    def test_a_payload_over_the_limit_closes_the_connection_and_what_was_acknowledged_stays(self, cloud: RealNode):
        with closing(cloud.mqtt("big")) as client, closing(cloud.mqtt("good")) as good:
            assert client.publish("factory/big", b"fits")
            client.send(mqtt.encode(mqtt.Publish("factory/big", b"x" * 65 * 1024, qos=1, packet_id=2)))
            assert client.receive() is None
            assert good.publish("factory/line", b"2")
        assert b"fits" in b"".join(readings(cloud))


def readings(node: RealNode) -> list[bytes]:
    with closing(sqlite3.connect(f"file:{node.data_dir / 'store.db'}?mode=ro", uri=True)) as store:
        rows = store.execute(
            "SELECT payload FROM batches JOIN streams ON streams.id = batches.stream WHERE path = 'readings'"
        )
        return [payload for (payload,) in rows]


class TestSizes:
    def test_a_record_over_the_limit(self, cloud: RealNode):
        open_stream(cloud, "sizes")
        assert append(cloud, "sizes", b"fits") == 204
        reply = cloud.api("POST", "/v1/streams/cloud/sizes", b"x" * (MIB + 1), TEXT)
        assert reply.status == 413
        assert reply.json()["kind"] == "TooLarge"
        assert "1048576" in reply.json()["cause"]
        assert content(cloud, "sizes") == b"fits"

    def test_a_body_over_the_limit_of_the_listener(self, cloud: RealNode):
        body = b"x" * (16 * MIB + 1)
        try:
            reply = cloud.api("POST", "/v1/streams/cloud/any", body, TEXT)
        except OSError:  # it was refused by its head; whoever goes on sending is cut off
            return
        assert reply.status == 413
        assert "api-body-bytes" in reply.json()["remedy"]

    def test_a_key_value_write_over_the_limits(self, cloud: RealNode):
        cloud.apply(Namespace(api_version="littoral/v1", metadata=Metadata(name="settings")))
        cloud.until(lambda: cloud.api("PUT", "/v1/kv/settings/a", b"1").status == 204)
        reply = cloud.api("PUT", "/v1/kv/settings/a", b"x" * (MIB + 1))
        assert (reply.status, reply.json()["kind"]) == (413, "TooLarge")
        assert reply.json()["remedy"]
        long = cloud.api("PUT", f"/v1/kv/settings/{'k' * 513}", b"1")
        assert (long.status, long.json()["cause"]) == (
            400,
            "it has 513 bytes; 1 to 512 are allowed, the limit kv-key-bytes",
        )
        assert cloud.api("GET", "/v1/kv/settings/a").body == b"1"

    def test_a_body_over_the_limit_for_functions(self, cloud: RealNode):
        app = msgspec.convert(
            {
                "kind": "App",
                "apiVersion": "littoral/v1",
                "metadata": {"name": "echo"},
                "spec": {"main": "main.py", "routes": [{"path": "/echo"}]},
            },
            App,
        )
        code = b"from workers import Response, WorkerEntrypoint\n\n\nclass Default(WorkerEntrypoint):\n"
        code += b"    async def fetch(self, request):\n        return Response(str(len(await request.bytes())))\n"
        cloud.apply(app, pack_bundle("echo", {"main.py": code}))
        url = f"{cloud.url('gateway')}/echo"
        cloud.until(lambda: call(url, "POST", b"abc").status == 200)
        try:
            reply = call(url, "POST", b"x" * (16 * MIB + 1))
        except OSError:
            pass
        else:
            assert (reply.status, reply.json()["kind"]) == (413, "TooLarge")
            assert reply.json()["remedy"]
        assert call(url, "POST", b"abc").body == b"3"


class TestStarting:
    def test_a_port_in_use_names_the_port_and_its_holder(self, cloud: RealNode):
        taken = cloud.address("mqtt")
        with RealNode("other", listen={"mqtt": taken}) as node:
            log = node.refused()
        assert f"error: cannot listen on {taken}: the port is in use by " in log
        assert "(pid " in log
        assert "Stop it, or give this listener another port" in log

    def test_a_data_directory_in_use_names_the_process(self, cloud: RealNode):
        assert cloud.process is not None
        with RealNode("cloud", data_dir=cloud.data_dir) as node:
            kept = (cloud.data_dir / "run" / "api.json").read_bytes()
            log = node.refused()
        assert (cloud.data_dir / "run" / "api.json").read_bytes() == kept
        assert f"its data directory {cloud.data_dir} is in use by process {cloud.process.pid}" in log
        assert "Stop that process, or give this node a directory of its own" in log

    def test_the_data_directory_of_another_node(self, tmp_path: Path):
        with RealNode("plant-b", data_dir=tmp_path) as node:
            node.start()
        with RealNode("plant-c", data_dir=tmp_path) as node:
            log = node.refused()
        assert "it is the data directory of node 'plant-b', not of 'plant-c'" in log
        assert "Give each node a directory of its own" in log

    def test_a_data_directory_of_a_newer_version(self, tmp_path: Path):
        with RealNode("cloud", data_dir=tmp_path) as node:
            node.start()
            open_stream(node, "kept")
            assert append(node, "kept", b"acknowledged") == 204
            node.stop()
            (tmp_path / "VERSION").write_text("99\n")
            log = node.refused()
            assert "VERSION says '99', this Littoral knows up to 1" in log
            assert "Run the version of Littoral that wrote it, or a newer one" in log
            (tmp_path / "VERSION").write_text("1\n")
            assert content(node.start(), "kept") == b"acknowledged"

    def test_a_store_of_a_newer_format(self, tmp_path: Path):
        with RealNode("cloud", data_dir=tmp_path) as node:
            node.start()
            node.stop()
            with closing(sqlite3.connect(tmp_path / "store.db")) as store:
                store.execute("PRAGMA user_version = 99")
            log = node.refused()
        assert f"its format is version 99, this Littoral knows up to {FORMAT_VERSION}" in log
        assert "Run the version of Littoral that wrote it, or a newer one" in log


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size; a test that cannot have one says why."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class TestDisks:
    def test_on_a_full_disk_nothing_acknowledged_is_lost_and_it_goes_on_once_there_is_space(self, tmp_path: Path):
        with small_disk(tmp_path / "small", "12m") as folder:
            filler = folder / "filler"
            filler.write_bytes(b"x" * 4 * MIB)
            with RealNode("cloud", data_dir=folder / "data", free_bytes=1) as node:
                node.start()
                open_stream(node, "kept")
                acknowledged = b""
                refusal = None
                for n in range(2000):
                    record = n.to_bytes(4, "big") + os.urandom(16 * 1024)
                    reply = node.api("POST", "/v1/streams/cloud/kept", record, TEXT)
                    if reply.status != 204:
                        refusal = reply
                        break
                    acknowledged += record
                assert refusal is not None
                assert refusal.status == 507
                assert refusal.json()["kind"] == "StorageFull"
                assert "Free some space" in refusal.json()["remedy"]
                assert len(acknowledged) > MIB
                assert content(node, "kept") == acknowledged, "it still answers what it has"

                filler.unlink()
                node.until(lambda: append(node, "kept", b"after") == 204)
                with closing(node.mqtt("press")) as device:
                    assert device.publish("factory/press", b"1")
                assert content(node, "kept") == acknowledged + b"after"
                node.kill_hub()
                assert content(node, "kept") == acknowledged + b"after"
                assert "Traceback" not in node.log(), node.log()

    def test_a_disk_that_is_full_from_the_beginning(self, tmp_path: Path):
        with small_disk(tmp_path / "small", "64k") as folder, RealNode("cloud", data_dir=folder / "data") as node:
            (folder / "filler").write_bytes(b"x" * 48 * 1024)
            node.launch()
            node.until(lambda: "Free " in node.log() or (node.process and node.process.poll() is not None))
            assert "Traceback" not in node.log(), node.log()
            assert "Free " in node.log()

    def test_a_read_only_data_directory(self, tmp_path: Path):
        with (
            small_disk(tmp_path / "small", "16m") as folder,
            RealNode("cloud", data_dir=folder / "data", free_bytes=1) as node,
        ):
            node.start()
            open_stream(node, "kept")
            assert append(node, "kept", b"acknowledged") == 204
            node.stop()
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
            log = node.refused()
            assert "Read-only file system" in log
            assert "Check how the file system is mounted" in log
            assert "Traceback" not in log
            subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
            assert content(node.start(), "kept") == b"acknowledged"


BROKEN = """\
apiVersion: littoral/v1
kind: Node
metadata:
  name: plant-a
spec:
  tier: sight
  listen:
    mqt: 127.0.0.1:1883
"""


class TestDocuments:
    @pytest.mark.parametrize("command", [["validate"], ["node", "run", "--data-dir", "data", "--config"]])
    def test_a_broken_document_names_file_line_field_and_what_is_allowed(self, command: list[str], tmp_path: Path):
        (tmp_path / "node.yaml").write_text(BROKEN)
        ended = subprocess.run(
            [sys.executable, "-m", "littoral.cli.main", *command, "node.yaml"],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        said = ended.stdout + ended.stderr
        assert ended.returncode == 1, said
        for part in ("node.yaml", "6", "spec.tier", "sight", "site", "spec.listen", "mqt", "mqtt"):
            assert part in said
        assert "Traceback" not in said
        assert not (tmp_path / "data").exists()
