"""Which bindings of a project are another node's while it is developed."""

import json
from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from littoral.core.errors import InvalidResource
from littoral.projects.build import build
from littoral.projects.project import Project, read_project
from littoral.projects.remote import missing, remote_bindings, unheeded, with_remote, without_remote
from littoral.projects.target import Target

TODAY = date(2026, 5, 1)
LEAST = {"name": "shop", "main": "entry.py", "compatibility_date": "2025-11-02"}
BINDINGS: dict[str, Any] = {
    "kv_namespaces": [{"binding": "KV", "id": "things"}, {"binding": "MORE", "id": "others"}],
    "queues": {"producers": [{"binding": "JOBS", "queue": "jobs"}], "consumers": [{"queue": "jobs"}]},
    "services": [{"binding": "PRICES", "service": "prices"}],
    "analytics_engine_datasets": [{"binding": "VISITS", "dataset": "visits"}],
    "ai": {"binding": "AI"},
    "assets": {"directory": "public", "binding": "FILES"},
    "vars": {"NAME": "shop"},
}
ALL = ["KV", "MORE", "JOBS", "PRICES", "VISITS"]


def project(folder: Path, **keys: Any) -> Project:
    (folder / "wrangler.jsonc").write_text(json.dumps({**LEAST, **keys}, indent=1))
    return read_project(folder, None, TODAY)


def chosen(found: Project, names: Collection[str] = ()) -> list[str]:
    return [each.env for each in remote_bindings(with_remote(found, names).app.spec)]


def refusal(found: Project, names: Collection[str] = ()) -> list[str]:
    with pytest.raises(InvalidResource) as error:
        with_remote(found, names)
    return error.value.cause.splitlines()[1:]


def test_all_that_can_be_are_remote_where_the_file_says_nothing(tmp_path: Path):
    assert chosen(project(tmp_path, **BINDINGS)) == ALL


def test_those_that_the_file_marks_are_remote(tmp_path: Path):
    services = [{"binding": "PRICES", "service": "prices", "remote": True}]
    kv = [{**BINDINGS["kv_namespaces"][0], "remote": True}, BINDINGS["kv_namespaces"][1]]
    found = project(tmp_path, **{**BINDINGS, "services": services, "kv_namespaces": kv})
    assert chosen(found) == ["KV", "PRICES"]


def test_names_say_it_whatever_the_file_marks(tmp_path: Path):
    kv = [{**BINDINGS["kv_namespaces"][0], "remote": True}]
    assert chosen(project(tmp_path, **{**BINDINGS, "kv_namespaces": kv}), ["JOBS"]) == ["JOBS"]


def test_documents_mark_them_as_well(tmp_path: Path):
    document = {
        "apiVersion": "littoral/v1",
        "kind": "App",
        "metadata": {"name": "shop"},
        "spec": {
            "main": "entry.py",
            "kv": [{"binding": "A", "namespace": "a"}, {"binding": "B", "namespace": "b", "remote": True}],
        },
    }
    (tmp_path / "littoral.yaml").write_text(json.dumps(document, indent=1))
    found = read_project(tmp_path, None, TODAY)
    assert chosen(found) == ["B"]
    line = (tmp_path / "littoral.yaml").read_text().splitlines().index('    "binding": "B",')
    (finding,) = unheeded(found)
    assert str(finding).startswith(f"littoral.yaml:{line}: spec.kv[1]: env.B (namespace b) is local")


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("AI", '"ai": {', "ai: env.AI cannot be remote: models are files of the app"),
        ("FILES", '"binding": "FILES"', "assets.binding: env.FILES cannot be remote: it reads files of the project"),
        ("NAME", '"NAME": "shop"', "vars.NAME: env.NAME cannot be remote: it is a variable"),
    ],
)
def test_what_cannot_be_remote_is_told_with_its_line(tmp_path: Path, name: str, line: str, said: str):
    found = project(tmp_path, **BINDINGS)
    lines = (tmp_path / "wrangler.jsonc").read_text().splitlines()
    (number,) = [index for index, text in enumerate(lines, 1) if line in text]
    (cause,) = refusal(found, [name, "KV"])
    assert cause.startswith(f"wrangler.jsonc:{number}: {said}")
    assert cause.endswith("Leave it out of --remote-only")


def test_a_name_that_is_no_binding_is_answered_with_those_that_are(tmp_path: Path):
    (cause,) = refusal(project(tmp_path, **BINDINGS), ["PRICE"])
    assert cause == (
        'wrangler.jsonc: --remote-only names PRICE, and the project has no such binding. Did you mean "PRICES"?. '
        "It has KV, MORE, JOBS, PRICES, VISITS"
    )


def test_a_project_without_bindings_has_nothing_to_be_remote(tmp_path: Path):
    (cause,) = refusal(project(tmp_path, ai={"binding": "AI"}))
    assert cause.startswith("wrangler.jsonc:3: it binds no namespace, queue, app or dataset")


def test_one_thing_by_two_names_is_remote_by_both_or_none(tmp_path: Path):
    kv = [{"binding": "KV", "id": "things"}, {"binding": "AGAIN", "id": "things"}]
    found = project(tmp_path, kv_namespaces=kv)
    (cause,) = refusal(found, ["KV"])
    assert "kv_namespaces[1]: env.AGAIN (namespace things) is local, and env.KV, which is the same, is remote" in cause
    assert chosen(found, ["KV", "AGAIN"]) == ["KV", "AGAIN"]


def test_the_consumer_of_a_remote_queue_is_told_that_it_gets_nothing(tmp_path: Path):
    warnings = [str(each) for each in with_remote(project(tmp_path, **BINDINGS), ["JOBS"]).warnings]
    assert any("the project does not get the messages of queue jobs: it is remote" in each for each in warnings)
    assert with_remote(project(tmp_path, **BINDINGS), ["KV"]).warnings == []


def test_a_node_that_lacks_something_is_told_with_the_line_of_the_binding(tmp_path: Path):
    found = with_remote(project(tmp_path, **BINDINGS), ["MORE"])
    (each,) = remote_bindings(found.app.spec)
    said = str(missing(found, each, "there is no such namespace"))
    assert said.startswith(
        "wrangler.jsonc:10: kv_namespaces[1]: env.MORE (namespace others) cannot be remote: there is"
    )


def test_a_model_is_never_remote_and_it_is_said(tmp_path: Path):
    warnings = [str(each) for each in project(tmp_path, ai={"binding": "AI", "remote": True}).warnings]
    assert warnings == [
        "wrangler.jsonc:7: ai.remote: it has no effect: models are files of the app, and run where it runs"
    ]


def test_what_is_deployed_says_nothing_of_it(tmp_path: Path):
    kv = [{"binding": "KV", "id": "things", "remote": True}]
    found = project(tmp_path, kv_namespaces=kv)
    assert remote_bindings(without_remote(found).app.spec) == []
    (tmp_path / "entry.py").write_text("async def on_fetch(request, env, ctx): ...\n")
    record = build(tmp_path, None, Target("3.11", "x86_64"), TODAY).file.records[-1]
    assert record.document is not None
    assert msgspec.json.decode(record.document)["spec"]["kv"] == [{"binding": "KV", "namespace": "things"}]
