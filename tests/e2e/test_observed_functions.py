"""What a node says of its functions: counted at a real gateway, raised in a real worker, and asked for by commands."""

import json
import shlex
import textwrap
from pathlib import Path

import pytest

from littoral.cli.main import run
from tests.e2e.test_pages import OBSERVING, commands
from tests.support.real_node import RealNode, call

ENTRY = """\
from workers import Response

class OutOfStock(Exception):
    pass

def take(what):
    raise OutOfStock(f"no {what}")

async def on_fetch(request, env):
    if "?" in request.url:
        take(request.url.partition("?")[2])
    return Response("fine")
"""


def littoral(node: RealNode, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run([*arguments, "--data-dir", str(node.data_dir)]) == 0
    return capsys.readouterr().out


def test_calls_and_exceptions_of_an_app_are_counted_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "wrangler.json").write_text(
        json.dumps({"name": "shop", "main": "src/entry.py", "compatibility_date": "2025-11-02"})
    )
    (tmp_path / "src" / "entry.py").write_text(textwrap.dedent(ENTRY))
    with RealNode("root", listen={"gateway": "127.0.0.1:0"}) as node:
        node.start()
        littoral(node, capsys, "deploy", str(tmp_path))
        url = node.url("gateway")
        answers = [call(f"{url}/{path}") for path in ("", "", "?tea", "?milk")]
        assert [each.status for each in answers] == [200, 200, 500, 500], f"{answers[0].body!r}\n{node.log()}"

        def counted() -> dict[str, object]:
            (line,) = json.loads(littoral(node, capsys, "top", "--once", "--json", "--interval", "1"))
            return {name: line[name] for name in ("app", "calls", "errors", "workers")}

        node.until(lambda: counted() == {"app": "shop", "calls": 4, "errors": {"exception": 2}, "workers": 1})
        page = json.loads(littoral(node, capsys, "app", "errors", "shop", "--json"))
        (group,) = page["groups"]
        assert (group["type"], group["place"], group["count"]) == ("entry.OutOfStock", "src/entry.py:7 in take", 2)
        said = {line: littoral(node, capsys, *shlex.split(line)[1:]) for line in commands(OBSERVING)}
        assert "src/entry.py:7 in take" in said["littoral app errors shop"]
        assert 'raise OutOfStock(f"no {what}")' in said["littoral app errors shop --traces"]
        assert group["requestId"] in said["littoral logs shop"], "the log says more of that request"

        def metrics() -> str:
            return call(f"{node.url('api')}/metrics").body.decode()

        # The memory of workers is looked at now and then.
        node.until(lambda: 'littoral_function_memory_bytes{app="shop"}' in metrics())
        assert f'littoral_function_calls_total{{app="shop",revision="{group["revision"]}"}} 4.0' in metrics()
