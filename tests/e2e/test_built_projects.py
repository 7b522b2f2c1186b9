"""From `littoral init` to an answer: projects built, applied to a real node, and called."""

import json
import textwrap
from pathlib import Path

import pytest

from littoral.cli.main import run
from littoral.core.resources.namespace import Namespace, NamespaceSpec
from littoral.core.resources.part import Metadata
from tests.support.real_node import RealNode, call
from tests.support.wheels import make_wheel, only_from


class Workshop:
    """Projects in a folder, and the node they are applied to."""

    def __init__(self, node: RealNode, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.node = node
        self.folder = folder
        self.capsys = capsys

    def littoral(self, *arguments: str, status: int = 0) -> str:
        """Run a command; returns what it says."""
        self.capsys.readouterr()
        found = run(list(arguments))
        said = self.capsys.readouterr()
        assert found == status, said
        return said.out if status == 0 else said.err

    def put(self, name: str, **files: str) -> str:
        """A project at a host of its own."""
        config = {"name": name, "main": "src/entry.py", "compatibility_date": "2025-11-02", "route": f"{name}.test/*"}
        for path, text in {"wrangler.json": json.dumps(config), **files}.items():
            (self.folder / name / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name / path).write_text(textwrap.dedent(text))
        return str(self.folder / name)

    def build(self, folder: str) -> str:
        """Returns the file of the revision."""
        return self.littoral("build", folder).splitlines()[-1].removeprefix("littoral apply ")

    def apply(self, file: str, status: int = 0) -> str:
        token = (self.node.data_dir / "identity" / "operator.token").read_text(encoding="ascii").strip()
        return self.littoral("apply", file, "--url", self.node.url("api"), "--token", token, status=status)

    def get(self, host: str = "edge.test") -> tuple[int, bytes]:
        reply = call(f"{self.node.url('gateway')}/", headers={"host": host})
        return reply.status, reply.body

    def answers(self, body: bytes, host: str = "edge.test") -> None:
        """Wait until it does."""
        self.node.until(lambda: self.get(host) == (200, body))


def test_projects_run_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # By the name of a package that the platform may have, too: what was packed with the app counts.
    make_wheel(tmp_path / "index", "markupsafe", "9.9")
    for name, value in only_from(tmp_path / "index").items():
        monkeypatch.setenv(name, value)
    with RealNode("root", listen={"gateway": "127.0.0.1:0"}) as node:
        workshop = Workshop(node.start(), tmp_path, capsys)
        from_a_template_to_an_answer(workshop)
        a_namespace_is_made_where_there_is_none(workshop)
        packages_come_with_the_app(workshop)


def from_a_template_to_an_answer(workshop: Workshop) -> None:
    shop = str(workshop.folder / "shop")
    workshop.littoral("init", shop)
    first = workshop.build(shop)
    assert workshop.apply(first) == "App shop: created\n1 changed\n"
    workshop.answers(b"Hello from shop\n")
    assert workshop.apply(first) == "App shop: unchanged\n0 changed\n"

    entry = workshop.folder / "shop/src/entry.py"
    good = entry.read_text()
    entry.write_text(good.replace("from shop", "from the new shop"))
    second = Path(workshop.build(shop))
    assert second.name != Path(first).name
    # What is broken is refused, and the running revision stays: a source that does not compile, a file cut off.
    entry.write_text(good.replace("async def", "async"))
    assert "src/entry.py:5: invalid syntax\n    async fetch(self, request):\n" in workshop.littoral(
        "build", shop, status=1
    )
    (workshop.folder / "cut.revision").write_bytes(second.read_bytes()[:-1])
    assert "it is damaged or cut off" in workshop.apply(str(workshop.folder / "cut.revision"), status=1)
    assert workshop.get() == (200, b"Hello from shop\n")
    assert workshop.apply(str(second)) == "App shop: changed\n1 changed\n"
    workshop.answers(b"Hello from the new shop\n")
    workshop.apply(first)
    workshop.answers(b"Hello from shop\n")


COUNTER = """\
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        await self.env.FOO.put("bar", "baz")
        return Response(await self.env.FOO.get("bar"))
"""


def a_namespace_is_made_where_there_is_none(workshop: Workshop) -> None:
    config = {
        "name": "binding",
        "main": "src/entry.py",
        "compatibility_date": "2025-11-02",
        "compatibility_flags": ["python_workers"],
        "route": "binding.test/*",
        "kv_namespaces": [{"binding": "FOO", "id": "<YOUR_KV_NAMESPACE_ID>"}],
    }
    file = workshop.build(workshop.put("binding", **{"wrangler.json": json.dumps(config), "src/entry.py": COUNTER}))
    assert workshop.apply(file) == "App binding: created\nNamespace binding-foo: created\n2 changed\n"
    workshop.answers(b"baz", host="binding.test")
    # How it is kept is for whoever runs the tree to say: another revision does not say it anew.
    spec = NamespaceSpec(cache_ttl="5s")
    workshop.node.apply(Namespace(api_version="littoral/v1", metadata=Metadata(name="binding-foo"), spec=spec))
    assert workshop.apply(file) == "App binding: unchanged\n0 changed\n"


def packages_come_with_the_app(workshop: Workshop) -> None:
    entry = """\
    import markupsafe
    from workers import Response

    async def on_fetch(request, env):
        return Response(markupsafe.VERSION)
    """
    toml = '[project]\nname = "pack"\nversion = "1"\ndependencies = ["MarkupSafe"]\n'
    folder = workshop.put("pack", **{"src/entry.py": entry, "pyproject.toml": toml})
    workshop.apply(workshop.build(folder))
    workshop.answers(b"9.9", host="pack.test")
