"""The commands against a real hub; as processes, where it is about more than what they say of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from littoral.security.operator import TOKEN_PATH
from tests.support.commands import command
from tests.support.operator_hub import serving_root

Run = subprocess.CompletedProcess[bytes]
DEADLINE_S = 60
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "COLUMNS": "40"}

DOCUMENTS = """\
apiVersion: littoral/v1
kind: Namespace
metadata: {name: factory}
---
apiVersion: littoral/v1
kind: Rule
metadata: {name: heat}
spec:
  source: {mqtt: {topic: factory/+/temperature}}
  value: {path: value}
  window: {tumbling: 1m}
  windows: [{stream: {name: windows}}]
---
apiVersion: littoral/v1
kind: App
metadata: {name: page}
spec: {main: main.py, source: code}
"""


def littoral(*arguments: str | Path, stdin: bytes = b"", **environment: str) -> Run:
    command = [sys.executable, "-m", "littoral.cli.main", *map(str, arguments)]
    environment = {**ENVIRONMENT, **environment}
    return subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=DEADLINE_S, check=False)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("cloud")
    with serving_root(directory):
        yield directory


@pytest.fixture
def cloud(data_dir: Path) -> Callable[..., bytes]:
    """Run a command at the node; it must succeed, and say nothing on stderr."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> bytes:
        done = command(*arguments, "--data-dir", data_dir, stdin=stdin, environment=ENVIRONMENT)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    return run


@pytest.fixture
def applied(cloud: Callable[..., bytes], tmp_path: Path) -> Path:
    """A folder with DOCUMENTS, applied."""
    (tmp_path / "all.yaml").write_text(DOCUMENTS)
    code = tmp_path / "code"
    (code / "__pycache__").mkdir(parents=True)
    (code / "__pycache__" / "main.pyc").write_bytes(b"compiled")
    (code / ".env").write_text("SECRET=1")
    (code / "main.py").write_text("x = 1\n")
    cloud("apply", "-f", tmp_path)
    return tmp_path


def test_status_says_how_the_node_is(cloud):
    head, row = cloud("status").decode().splitlines()
    assert head.split()[:4] == ["NODE", "TIER", "LINK", "SINCE"]
    assert row.split()[:3] == ["cloud", "cloud", "root"]
    (report,) = json.loads(cloud("status", "--json"))
    assert report["node"] == "cloud"


def test_nodes_are_listed(cloud):
    (line,) = json.loads(cloud("node", "list", "--json"))
    assert line["node"] == "cloud"
    assert line["parent"] is None
    assert line["connected"] is True
    assert cloud("node", "list").split()[-5:-2] == [b"cloud", b"cloud", b"up"]


def test_a_join_token_is_one_line(cloud):
    token = cloud("token", "create", "plant-a", "--ttl", "5m").decode()
    assert token.count("\n") == 1
    assert len(token) > 40


def test_a_node_of_no_name_gets_no_token(data_dir: Path):
    done = littoral("token", "create", "Plant A", "--data-dir", data_dir)
    assert done.returncode == 1
    assert b"error: cannot use node name 'Plant A': a node's name is" in done.stderr


def test_applying_says_what_changed(applied: Path, cloud):
    again = cloud("apply", applied / "all.yaml").decode().splitlines()
    assert again == ["Namespace factory: unchanged", "Rule heat: unchanged", "App page: unchanged", "0 changed"]
    (applied / "code" / "main.py").write_text("x = 2\n")
    changed = cloud("apply", applied / "all.yaml").decode().splitlines()
    assert changed[2:] == ["App page: changed", "1 changed"]


def test_code_that_is_too_large_for_its_record_is_a_blob(applied: Path, cloud):
    (applied / "code" / "table.bin").write_bytes(bytes(range(256)) * 4096)
    assert cloud("apply", applied / "all.yaml").decode().splitlines()[-1] == "1 changed"
    assert len(cloud("blob", "list").decode().splitlines()) == 2
    assert cloud("apply", applied / "all.yaml").decode().splitlines()[-1] == "0 changed"
    (applied / "code" / "table.bin").unlink()
    cloud("apply", applied / "all.yaml")
    listed = json.loads(cloud("app", "revisions", "page", "--json"))
    small, large = (each["code_bytes"] for each in listed[:2])
    assert 0 < small < large
    assert cloud("rollback", "page").startswith(b"App page: ")
    assert json.loads(cloud("app", "list", "--json"))[0]["name"] == "page"


def test_what_was_applied_is_listed(applied: Path, cloud):
    listed = json.loads(cloud("resource", "list", "--json"))
    assert [(each["kind"], each["name"]) for each in listed] == [
        ("App", "page"),
        ("Namespace", "factory"),
        ("Rule", "heat"),
    ]


def test_resources_are_deleted_all_or_none(applied: Path, cloud, data_dir: Path):
    refused = command("resource", "delete", "Rule/heat", "App/none", "--data-dir", data_dir)
    assert refused.returncode == 1
    assert b"cannot delete App/none: the desired state has none of that name" in refused.stderr
    assert (
        cloud("resource", "delete", "Rule/heat", "Namespace/factory")
        == b"Rule heat: deleted\nNamespace factory: deleted\n"
    )
    assert cloud("app", "delete", "page") == b"App page: deleted\n"
    assert json.loads(cloud("resource", "list", "--json")) == []
    assert b"App page: created" in cloud("apply", applied)


def test_an_app_does_not_take_the_requests_of_another(cloud, data_dir: Path, tmp_path: Path):
    (tmp_path / "main.py").write_text("x = 1\n")

    def app(name: str, path: str) -> Path:
        spec = {"main": "main.py", "source": ".", "routes": [{"path": path}]}
        document = {"apiVersion": "littoral/v1", "kind": "App", "metadata": {"name": name}, "spec": spec}
        (tmp_path / f"{name}.yaml").write_text(json.dumps(document))
        return tmp_path / f"{name}.yaml"

    cloud("apply", app("shop", "/*"))
    refused = command("apply", app("blog", "/*"), "--data-dir", data_dir)
    assert refused.returncode == 1
    assert b"cannot apply App/blog: App/shop answers /* on the same nodes" in refused.stderr
    cloud("apply", app("shop", "/shop/*"))
    cloud("apply", app("blog", "/*"))
    refused = command("rollback", "shop", "--data-dir", data_dir)
    assert b"cannot apply App/shop: App/blog answers /* on the same nodes" in refused.stderr
    cloud("app", "delete", "shop", "blog")


@pytest.mark.parametrize("named", ["shop", "Shop/shop", "Node/cloud"])
def test_what_is_no_resource_is_not_deleted(named: str, data_dir: Path):
    refused = command("resource", "delete", named, "--data-dir", data_dir)
    assert refused.returncode == 1
    assert b"Write, for example, App/shop" in refused.stderr


def test_one_wrong_document_keeps_all_from_being_applied(cloud, data_dir: Path, tmp_path: Path):
    before = cloud("resource", "list", "--json")
    (tmp_path / "a.yaml").write_text(DOCUMENTS.replace("name: factory", "name: other"))
    (tmp_path / "b.yaml").write_text("apiVersion: littoral/v1\nkind: Rule\nmetadata: {name: x}\nspec: {}\n")
    done = littoral("apply", "-f", tmp_path, "--data-dir", data_dir)
    assert done.returncode == 1
    assert b"nothing was applied" in done.stderr
    assert b"b.yaml:" in done.stderr
    assert cloud("resource", "list", "--json") == before


def test_a_node_is_not_applied(data_dir: Path, tmp_path: Path):
    node = tmp_path / "node.yaml"
    node.write_text("apiVersion: littoral/v1\nkind: Node\nmetadata: {name: a}\nspec: {tier: site}\n")
    done = littoral("apply", node, "--data-dir", data_dir)
    assert done.returncode == 1
    assert b"littoral node run --config node.yaml" in done.stderr


def test_a_value_is_put_read_listed_and_deleted(applied: Path, cloud, data_dir: Path, tmp_path: Path):
    cloud("kv", "put", "factory", "lines/a b/ü?", "from the command line")
    assert cloud("kv", "get", "factory", "lines/a b/ü?") == b"from the command line"
    cloud("kv", "put", "factory", "lines/2", "-", stdin=bytes(range(256)))
    assert cloud("kv", "get", "factory", "lines/2") == bytes(range(256))
    (tmp_path / "value").write_bytes(b"from a file")
    cloud("kv", "put", "factory", "other", "--file", tmp_path / "value")
    assert cloud("kv", "list", "factory").decode().splitlines() == ["lines/2", "lines/a b/ü?", "other"]
    assert json.loads(cloud("kv", "list", "factory", "--prefix", "lines/", "--limit", "1", "--json")) == ["lines/2"]
    cloud("kv", "delete", "factory", "other")
    done = littoral("kv", "get", "factory", "other", "--data-dir", data_dir)
    assert done.returncode == 1
    assert done.stderr == b"error: cannot get key factory/other: there is no such key\n"


def test_a_value_is_put_with_an_expiration_and_metadata(applied: Path, cloud, data_dir: Path):
    cloud("kv", "put", "factory", "sessions/1", "v", "--ttl", "2h", "--metadata", '{"user": "ann"}')
    cloud("kv", "put", "factory", "sessions/2", "v")
    details = json.loads(cloud("kv", "get", "factory", "sessions/1", "--metadata"))
    assert details["metadata"] == {"user": "ann"}
    expires_s = details["expiration"]
    assert json.loads(cloud("kv", "list", "factory", "--prefix", "sessions/", "--metadata", "--json")) == [
        {"name": "sessions/1", "expiration": expires_s, "metadata": {"user": "ann"}},
        {"name": "sessions/2"},
    ]
    table = cloud("kv", "list", "factory", "--prefix", "sessions/", "--metadata").decode().splitlines()
    assert '{"user":"ann"}' in table[1]
    cloud("kv", "put", "factory", "sessions/1", "v", "--expiration", str(expires_s))
    assert json.loads(cloud("kv", "get", "factory", "sessions/1", "--metadata")) == {"expiration": expires_s}
    for options, said in (
        (["--ttl", "5s"], b"at least 60 are needed"),
        (["--metadata", "{"], b"its metadata is no JSON"),
        (["--ttl", "2h", "--expiration", "5"], b"both an expiration and a time to live"),
    ):
        done = littoral("kv", "put", "factory", "k", "v", *options, "--data-dir", data_dir)
        assert done.returncode == 1
        assert said in done.stderr


def test_secrets_are_set_from_stdin_and_their_names_listed(cloud, data_dir: Path):
    cloud("secret", "put", "shop", "TOKEN", stdin=b"a value\n")
    cloud("secret", "put", "shop", "KEY", stdin=b"another")
    assert cloud("secret", "list", "shop") == b"KEY\nTOKEN\n"
    cloud("secret", "delete", "shop", "KEY")
    assert json.loads(cloud("secret", "list", "shop", "--json")) == ["TOKEN"]
    done = littoral("secret", "delete", "shop", "KEY", "--data-dir", data_dir)
    assert done.stderr == b"error: cannot delete secret KEY of app shop: there is no such secret\n"
    done = littoral("secret", "delete", "shop", "TOKEN", "--at", "plant-a", "--data-dir", data_dir)
    assert b"they are set at the root only" in done.stderr


def test_records_are_appended_and_read(cloud, tmp_path: Path):
    said = cloud("stream", "append", "cloud/notes", '[{"n": 1}, {"n": 2.50}]', "--create")
    assert said == b"cloud/notes now ends at 2\n"
    cloud("stream", "append", "cloud/notes", "--lines", stdin=b'{"n": 3}\n{"n":\t4}\n')
    assert cloud("stream", "read", "cloud/notes") == b'{"n":1}\n{"n":2.50}\n{"n":3}\n{"n":4}\n'
    assert cloud("stream", "read", "cloud/notes", "--from", "1", "--limit", "2") == b'{"n":2.50}\n{"n":3}\n'
    cloud("stream", "read", "cloud/notes", "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes().count(b"\n") == 4
    names = [each["name"] for each in json.loads(cloud("stream", "list", "--json"))]
    assert "cloud/notes" in names
    assert b"cloud/notes" in cloud("stream", "list")


def test_bytes_are_read_as_base64_or_raw(cloud):
    cloud("stream", "append", "cloud/blob", "--create", "--content-type", "application/x-blob", stdin=b"\0\xff")
    assert cloud("stream", "read", "cloud/blob") == b"AP8=\n"
    assert cloud("stream", "read", "cloud/blob", "--raw") == b"\0\xff"


def test_a_list_of_several_pages_is_listed_whole(tmp_path: Path):
    with serving_root(tmp_path, listed_streams=1):
        for name in ("cloud/a", "cloud/z"):
            assert littoral("stream", "append", name, "1", "--create", "--data-dir", tmp_path).returncode == 0
        said = littoral("stream", "list", "--json", "--data-dir", tmp_path).stdout
        names = [each["name"] for each in json.loads(said)]
        assert names == sorted({"cloud/a", "cloud/z", *names})
        assert littoral("stream", "read", "cloud/z", "--data-dir", tmp_path).stdout == b"1\n"


def test_appending_to_no_stream_says_how_to_make_it(data_dir: Path):
    done = littoral("stream", "append", "cloud/none", "1", "--data-dir", data_dir)
    assert done.returncode == 1
    assert done.stderr == (
        b"error: cannot append to stream cloud/none: there is no such stream on this node\nMake it with --create\n"
    )


def test_tail_shows_what_is_appended_until_it_is_interrupted(cloud, data_dir: Path):
    cloud("stream", "append", "cloud/live", "[1, 2, 3]", "--create")
    command = [sys.executable, "-m", "littoral.cli.main", "stream", "tail", "cloud/live", "-n", "2"]
    with subprocess.Popen(
        [*command, "--data-dir", str(data_dir)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"2\n", b"3\n"]
        cloud("stream", "append", "cloud/live", "4")
        assert process.stdout.readline() == b"4\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130
        assert process.stderr.read() == b""


def test_tail_goes_on_when_the_node_was_away(tmp_path: Path):
    with serving_root(tmp_path):
        littoral("stream", "append", "cloud/live", "1", "--create", "--data-dir", tmp_path)
    address = json.loads((tmp_path / "run" / "api.json").read_bytes())["api"]
    with serving_root(tmp_path, address=address) as url:
        command = [sys.executable, "-m", "littoral.cli.main", "stream", "tail", "cloud/live", "--url", url]
        command += ["--token-file", str(tmp_path / TOKEN_PATH)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"1\n"
    assert b"Trying again" in process.stderr.readline()
    with process, serving_root(tmp_path, address=address):
        littoral("stream", "append", "cloud/live", "2", "--data-dir", tmp_path)
        assert process.stdout.readline() == b"2\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130


def test_a_wrong_token_is_refused(data_dir: Path, tmp_path: Path):
    address = json.loads((data_dir / "run" / "api.json").read_bytes())["api"]
    done = littoral("status", "--url", f"http://{address}", LITTORAL_TOKEN="wrong")
    assert done.returncode == 1
    assert b"no valid operator token was shown\nSend `Authorization: Bearer" in done.stderr
    assert done.stdout == b""


def test_the_url_and_token_may_come_from_the_environment(data_dir: Path):
    address = json.loads((data_dir / "run" / "api.json").read_bytes())["api"]
    token = (data_dir / TOKEN_PATH).read_text().strip()
    done = littoral("node", "list", LITTORAL_URL=f"http://{address}/", LITTORAL_TOKEN=token)
    assert b"cloud" in done.stdout


def test_output_whose_reader_has_gone_is_no_error_of_ours(cloud, data_dir: Path):
    cloud("stream", "append", "cloud/long", "--create", stdin=json.dumps(["x" * 100] * 5000).encode())
    command = [sys.executable, "-m", "littoral.cli.main", "stream", "read", "cloud/long", "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(DEADLINE_S) == 1
        assert process.stderr.read() == b""
