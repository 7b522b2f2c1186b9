"""Which bindings of a project are those of another node while it is developed (`littoral dev --remote`), and which cannot be."""

from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple, TypeVar

from msgspec.structs import replace

from littoral.core.resources.app import AppSpec, KvBinding
from littoral.core.resources.app_events import DatasetBinding, QueueProducer, ServiceBinding
from littoral.core.resources.problem import Path as FieldPath
from littoral.core.resources.problem import suggestion
from littoral.projects.finding import Finding, refuse
from littoral.projects.project import Project

_Entry = TypeVar("_Entry", KvBinding, QueueProducer, ServiceBinding, DatasetBinding)
Kind = Literal["kv", "queue", "service", "analytics"]


class Bound(NamedTuple):
    """A binding that may be another node's."""

    env: str
    """Its name in `env`."""
    kind: Kind
    name: str
    """What the node knows it by: a namespace, a queue, an app, a dataset."""
    marked: bool
    """Whether the project's file says that it is to be remote."""
    path: FieldPath
    """Where the App document says it."""

    def __str__(self) -> str:
        return f"env.{self.env} ({_NOUNS[self.kind]} {self.name})"


_NOUNS = {"kv": "namespace", "queue": "queue", "service": "app", "analytics": "dataset"}


def bound(spec: AppSpec) -> Iterator[Bound]:
    """All of an app's, in the order of its document."""
    for index, kv in enumerate(spec.kv):
        yield Bound(kv.binding, "kv", kv.namespace, kv.remote, ("spec", "kv", index))
    for index, queue in enumerate(spec.queues.producers):
        yield Bound(queue.binding, "queue", queue.queue, queue.remote, ("spec", "queues", "producers", index))
    for index, service in enumerate(spec.services):
        yield Bound(service.binding, "service", service.service, service.remote, ("spec", "services", index))
    for index, dataset in enumerate(spec.datasets):
        yield Bound(dataset.binding, "analytics", dataset.dataset, dataset.remote, ("spec", "datasets", index))


def remote_bindings(spec: AppSpec) -> list[Bound]:
    """Those that are marked."""
    return [each for each in bound(spec) if each.marked]


def without_remote(project: Project) -> Project:
    """The project as nodes get it: what is remote for its developer is the node's own there."""
    return _marked(project, frozenset())


def with_remote(project: Project, names: Collection[str]) -> Project:
    """The project with these bindings marked as remote, by their names in `env`; without any, those that its file marks, or else
    all that can be.

    Raises InvalidResource, which names file and line: where one is no binding that can be remote, or there is none.
    """
    there = list(bound(project.app.spec))
    chosen = set(names) or {each.env for each in there if each.marked} or {each.env for each in there}
    findings = [_not_remote(project, name) for name in sorted(chosen - {each.env for each in there})]
    if not there and not names:
        cause = "it binds no namespace, queue, app or dataset: nothing of it can be remote"
        findings.append(Finding(project.config, project.main_line, cause, "Run it without --remote"))
    findings += _halves(project, there, chosen)
    if findings:
        raise refuse(str(project.folder), findings)
    project = _marked(project, chosen)
    return replace(project, warnings=project.warnings + _one_sided(project))


def unheeded(project: Project) -> list[Finding]:
    """What is said where the file marks bindings, and nobody asked for remote ones."""
    return [
        _finding(project, each.path, f"{each} is local: `remote` holds with --remote only")
        for each in remote_bindings(project.app.spec)
    ]


def missing(project: Project, binding: Bound, cause: str) -> Finding:
    """What is said where the other node does not have it."""
    remedy = "Make it there, name another node, or leave it out of the remote ones (--remote-only)"
    return _finding(project, binding.path, f"{binding} cannot be remote: {cause}", remedy)


def _halves(project: Project, there: list[Bound], chosen: Collection[str]) -> Iterator[Finding]:
    """Calls name what they ask for as the node does: one thing by two names is remote by both or by none."""
    for each in there:
        if each.kind == "service" or each.env in chosen:
            continue
        twin = next((o for o in there if (o.kind, o.name) == (each.kind, each.name) and o.env in chosen), None)
        if twin is not None:
            cause = f"{each} is local, and env.{twin.env}, which is the same, is remote"
            yield _finding(project, each.path, cause, "Have both remote, or none")


def _one_sided(project: Project) -> list[Finding]:
    remote = {each.name for each in remote_bindings(project.app.spec) if each.kind == "queue"}
    consumed = enumerate(project.app.spec.queues.consumers)
    return [
        _finding(
            project,
            ("spec", "queues", "consumers", index),
            f"the project does not get the messages of queue {each.queue}: it is remote, and that node's consumer gets them",
        )
        for index, each in consumed
        if each.queue in remote
    ]


def _not_remote(project: Project, name: str) -> Finding:
    spec = project.app.spec
    remedy = "Leave it out of --remote-only"
    if spec.ai is not None and spec.ai.binding == name:
        cause = f"env.{name} cannot be remote: models are files of the app, and run where it runs"
        return _finding(project, ("spec", "ai"), cause, remedy)
    if spec.assets is not None and spec.assets.binding == name:
        cause = f"env.{name} cannot be remote: it reads files of the project"
        return _finding(project, ("spec", "assets", "binding"), cause, remedy)
    if name in spec.vars:
        return _finding(project, ("spec", "vars", name), f"env.{name} cannot be remote: it is a variable", remedy)
    names = [each.env for each in bound(spec)]
    cause = f"--remote-only names {name}, and the project has no such binding.{suggestion(name, names)}"
    return Finding(project.config, None, cause, f"It has {', '.join(names) or 'none'}")


def _finding(project: Project, path: FieldPath, cause: str, remedy: str = "") -> Finding:
    said, line = project.origin(path)
    return Finding(project.config, line, f"{said}: {cause}" if said else cause, remedy)


def _marked(project: Project, chosen: Collection[str]) -> Project:
    spec = project.app.spec

    def mark(entries: list[_Entry]) -> list[_Entry]:
        return [replace(each, remote=each.binding in chosen) for each in entries]

    marked = replace(
        spec,
        kv=mark(spec.kv),
        queues=replace(spec.queues, producers=mark(spec.queues.producers)),
        services=mark(spec.services),
        datasets=mark(spec.datasets),
    )
    return replace(project, app=replace(project.app, spec=marked))
