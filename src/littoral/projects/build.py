"""From a project's folder to a revision: read, check, collect, pack.

The same files give the same revision, on any machine and at any time: a bundle holds names and contents only, in one order,
and dependencies are those of the lock.
"""

import os
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from littoral.core.errors import TooLarge
from littoral.fleet.bundles import UNPACKED_MOST_BYTES, pack_bundle
from littoral.fleet.desired import DesiredRecord, record_of
from littoral.functions.loader import PACKAGES
from littoral.projects.dependencies import resolve
from littoral.projects.entry import compiled, entry_finding, unknown_bindings
from littoral.projects.finding import Finding, refuse
from littoral.projects.project import Project, read_project
from littoral.projects.revision_file import RevisionFile
from littoral.projects.source_files import source_files
from littoral.projects.target import Target

SHOWN_MOST = 3
"""Of the largest parts of a bundle that is too large."""


class Built(Struct, frozen=True):
    """What came of it."""

    app: DesiredRecord
    file: RevisionFile
    files: int
    """How many the bundle holds."""
    packages: list[str]
    warnings: list[Finding]


def build(folder: Path, environment: str | None, target: Target, today: date) -> Built:
    """Build the project in `folder`. A lock of its dependencies is written there if there is none that fits.

    Raises: InvalidInput, InvalidResource, TooLarge, Unavailable.
    """
    project = read_project(folder, environment, today)
    own = source_files(project.app.metadata.name, project.root, project.base)
    warnings = project.warnings + _checked(project, own)
    dependencies = resolve(folder, target)
    files = {**dependencies.files, **own}
    # Documents say where code is in its own folder only: where that lies on this machine is no part of a revision.
    app = replace(project.app, spec=replace(project.app.spec, source="."))
    record = record_of(app, _packed(app.metadata.name, files))
    others = [record_of(each, None) for each in project.others]
    defaults = [record_of(each, None) for each in project.defaults]
    return Built(
        app=record,
        file=RevisionFile([*others, record], defaults),
        files=len(files),
        packages=dependencies.packages,
        warnings=warnings + dependencies.warnings,
    )


def _checked(project: Project, files: Mapping[str, bytes]) -> list[Finding]:
    """What modules say of themselves; warnings are returned. Raises InvalidResource."""
    main = project.app.spec.main
    if main not in files:
        missing = f"there is no file {main}"
        if (project.root / main).is_file():
            missing = f"{main} is left out of the bundle"
        raise refuse(
            str(project.folder), [Finding(project.config, project.main_line, missing, "Correct its main module")]
        )
    known = project.app.spec.vars.keys() | {binding.binding for binding in project.app.spec.kv}
    warnings: list[Finding] = []
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
        warnings += unknown_bindings(shown, tree, known)
    return warnings


def _packed(app: str, files: Mapping[str, bytes]) -> bytes:
    try:
        total = sum(map(len, files.values()))
        if total > UNPACKED_MOST_BYTES:
            cause = f"its files are {total} bytes together; at most {UNPACKED_MOST_BYTES} are allowed"
            raise TooLarge("pack app", app, cause, "Leave out what is not needed to run it: data, tests, packages")
        return pack_bundle(app, files)
    except TooLarge as error:
        sizes: Counter[str] = Counter()
        for path, content in files.items():
            parts = path.split("/")
            sizes["/".join(parts[: 2 if parts[0] == PACKAGES else 1])] += len(content)
        largest = ", ".join(f"{part} with {size} bytes" for part, size in sizes.most_common(SHOWN_MOST))
        raise TooLarge(error.operation, error.subject, f"{error.cause}. Most of it: {largest}", error.remedy) from error
