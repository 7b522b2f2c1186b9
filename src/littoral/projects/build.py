"""From a project's folder to a revision: read, check, collect, pack.

The same files give the same revision, on any machine and at any time: a bundle holds names and contents only, in one order,
and dependencies are those of the lock.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from littoral.core.errors import InvalidResource, TooLarge
from littoral.core.function_limits import APP_UNPACKED_BYTES
from littoral.core.resources.app_events import env_names
from littoral.fleet.bundles import REMAINS_A_BUNDLE_BYTES, pack_bundle
from littoral.fleet.code_parts import CodePart, pack_part
from littoral.fleet.desired import DesiredRecord, record_of
from littoral.functions.worker.loader import PACKAGES
from littoral.projects.asset_findings import asset_findings
from littoral.projects.dependencies import Dependencies, resolve
from littoral.projects.entry import compiled, entry_finding, unknown_bindings
from littoral.projects.finding import Finding, refuse
from littoral.projects.missing import imported, missing_names, unknown_modules
from littoral.projects.project import Project, read_project
from littoral.projects.remote import without_remote
from littoral.projects.revision_file import RevisionFile
from littoral.projects.source_files import asset_files, source_files
from littoral.projects.target import Target

SHOWN_MOST = 3
"""Of the largest parts of an app that is too large."""


class Built(Struct, frozen=True):
    """What came of it."""

    app: DesiredRecord
    file: RevisionFile
    files: int
    """How many it is made of."""
    bytes: int
    """Packed: what a node fetches that has nothing of it."""
    packages: list[str]
    warnings: list[Finding]


class Packages(Struct, frozen=True):
    """Other people's code that a project needs, packed."""

    dependencies: Dependencies
    part: CodePart | None = None
    """None where it needs none."""
    blob: bytes = b""


def pack_packages(folder: Path, target: Target) -> Packages:
    """The packages that the project in `folder` lists. A lock of them is written there if there is none that fits.

    Raises: InvalidInput, InvalidResource, TooLarge, Unavailable.
    """
    dependencies = resolve(folder, target)
    if not dependencies.files:
        return Packages(dependencies)
    inner = {path.removeprefix(f"{PACKAGES}/"): content for path, content in dependencies.files.items()}
    try:
        return Packages(dependencies, *pack_part(folder.name, "packages", inner))
    except TooLarge as error:
        raise _with_largest(error, dependencies.files) from error


def build(
    folder: Path,
    environment: str | None,
    target: Target,
    today: date,
    *,
    packages: Callable[[Path, Target], Packages] = pack_packages,
    change: Callable[[Project], Project] = without_remote,
) -> Built:
    """Build the project in `folder`. packages: gives what it lists of them. change: made to what it says first.

    Raises: InvalidInput, InvalidResource, TooLarge, Unavailable.
    """
    project = change(read_project(folder, environment, today))
    own = source_files(project.app.metadata.name, project.root, project.base) | asset_files(project)
    found, imports = _checked(project, own)
    needed = packages(folder, target)
    warnings = project.warnings + found + _unknown_modules(project, imports, own, needed)
    # Documents say where code is in its own folder only: where that lies on this machine is no part of a revision.
    app = replace(project.app, spec=replace(project.app.spec, source="."))
    code = _packed(app.metadata.name, own, needed)
    record = record_of(app, code.bundle, code.parts)
    others = [record_of(each, None) for each in project.others]
    defaults = [record_of(each, None) for each in project.defaults]
    return Built(
        app=record,
        file=RevisionFile([*others, record], defaults, code.blobs),
        files=len(own) + len(needed.dependencies.files),
        bytes=len(code.bundle or b"") + sum(part.bytes for part in code.parts),
        packages=needed.dependencies.packages,
        warnings=warnings + needed.dependencies.warnings,
    )


def _unknown_modules(
    project: Project, imports: Mapping[str, int], own: Mapping[str, bytes], needed: Packages
) -> list[Finding]:
    inner = [path.removeprefix(f"{PACKAGES}/") for path in needed.dependencies.files]
    shown = os.path.relpath(project.root / project.app.spec.main, project.folder)
    return unknown_modules(shown, imports, own, inner)


def _checked(project: Project, files: Mapping[str, bytes]) -> tuple[list[Finding], dict[str, int]]:
    """What modules say of themselves: warnings, and which modules the main module needs, with their lines. Raises InvalidResource."""
    main = project.app.spec.main
    if main not in files:
        raise _without_main(project)
    assets = project.app.spec.assets
    spec = project.app.spec
    events = {name for _, name in env_names(spec.queues, spec.services, spec.datasets, spec.ai)}
    known = spec.vars.keys() | {binding.binding for binding in spec.kv} | events
    known |= {assets.binding} if assets is not None and assets.binding is not None else set()
    warnings: list[Finding] = []
    imports: dict[str, int] = {}
    if assets is not None:
        shown = os.path.relpath(project.root / assets.directory, project.folder)
        errors, warnings = asset_findings(assets.directory, shown, files)
        if errors:
            raise refuse(str(project.folder), errors)
    for name in sorted(files):
        if not name.endswith(".py"):
            continue
        shown = os.path.relpath(project.root / name, project.folder)
        tree = compiled(shown, files[name])
        if isinstance(tree, Finding):
            if name == main:
                raise refuse(str(project.folder), [tree])
            # It may be a template, or for another version of Python, and nothing that is ever imported.
            warnings.append(tree)
            continue
        if name == main and (finding := entry_finding(shown, tree)) is not None:
            raise refuse(str(project.folder), [finding])
        if name == main:
            imports = imported(tree)
        warnings += unknown_bindings(shown, tree, known)
        warnings += missing_names(shown, tree, spec.ai.binding if spec.ai is not None else None)
    return warnings, imports


def _without_main(project: Project) -> InvalidResource:
    main = project.app.spec.main
    missing = f"there is no file {main}"
    if (project.root / main).is_file():
        missing = f"{main} is left out of the bundle"
    return refuse(str(project.folder), [Finding(project.config, project.main_line, missing, "Correct its main module")])


class _Code(Struct):
    """An app's code, as it travels."""

    bundle: bytes | None = None
    """Its own files, where they are so few that a node need not fetch them."""
    parts: list[CodePart] = []
    blobs: dict[str, bytes] = {}
    """By digest."""


def _packed(app: str, own: Mapping[str, bytes], packages: Packages) -> _Code:
    """Raises TooLarge, InvalidInput."""
    code = _Code(None, [], {})
    others = packages.dependencies.files
    try:
        total = sum(map(len, own.values())) + sum(map(len, others.values()))
        if total > APP_UNPACKED_BYTES.default:
            cause = f"its files are {total} bytes together; at most {APP_UNPACKED_BYTES.default} are allowed"
            raise TooLarge("pack app", app, cause, "Leave out what is not needed to run it: data, tests, packages")
        if packages.part is not None:
            code.parts.append(packages.part)
            code.blobs[packages.part.digest] = packages.blob
        if sum(map(len, own.values())) <= REMAINS_A_BUNDLE_BYTES:
            code.bundle = pack_bundle(app, own)
        else:
            part, blob = pack_part(app, "own", own)
            code.parts.append(part)
            code.blobs[part.digest] = blob
    except TooLarge as error:
        raise _with_largest(error, {**others, **own}) from error
    return code


def _with_largest(error: TooLarge, files: Mapping[str, bytes]) -> TooLarge:
    """The same, and what takes the room."""
    return TooLarge(error.operation, error.subject, f"{error.cause}. {_largest(files)}", error.remedy)


def _largest(files: Mapping[str, bytes]) -> str:
    sizes: Counter[str] = Counter()
    for path, content in files.items():
        parts = path.split("/")
        sizes["/".join(parts[: 2 if parts[0] == PACKAGES else 1])] += len(content)
    return f"Most of it: {', '.join(f'{part} with {size} bytes' for part, size in sizes.most_common(SHOWN_MOST))}"
