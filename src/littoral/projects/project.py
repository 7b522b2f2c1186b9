"""A project's folder: which file says what it is, and what that file says."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from msgspec import Struct

from littoral.core.errors import InvalidInput
from littoral.core.limits import RESOURCE_FILE_BYTES
from littoral.core.resources import App, Namespace, Node, Resource
from littoral.core.resources.decode import inspect_resources
from littoral.core.resources.problem import Path as FieldPath
from littoral.core.resources.problem import path_text
from littoral.core.resources.syntax import Document, read_documents
from littoral.fleet.desired import Deployable
from littoral.projects.finding import Finding, refuse
from littoral.projects.jsonc import read_jsonc
from littoral.projects.toml import read_toml
from littoral.projects.wrangler import Translation, origin_of

LITTORAL_FILE = "littoral.yaml"
WRANGLER_FILES = ("wrangler.json", "wrangler.jsonc", "wrangler.toml")
"""In the order in which wrangler looks for them."""
CONFIG_FILES = (LITTORAL_FILE, *WRANGLER_FILES)


class Project(Struct, frozen=True, kw_only=True):
    """What a folder says of itself."""

    folder: Path
    config: str
    """The name of the file that says it."""
    app: App
    root: Path
    """Where paths in the bundle begin, and `spec.main`."""
    base: str
    """The folder below `root` whose files are packed; "" for all of it."""
    main_line: int | None
    """Where `config` names the module with the entry point."""
    others: list[Deployable] = []
    """What else the file wants to be there."""
    defaults: list[Namespace] = []
    """What the app needs, and is made where it is not there."""
    document: Document
    """The part of `config` that the app comes from."""
    origins: Mapping[FieldPath, FieldPath] = {}
    """Where in it parts of the App document come from, where they have another name there."""
    warnings: list[Finding] = []

    def origin(self, path: FieldPath) -> tuple[str, int | None]:
        """What a part of the App document is called in the file, and its line."""
        there = origin_of(path, self.origins)
        return path_text(there), self.document.line(there)


def read_project(folder: Path, environment: str | None, today: date) -> Project:
    """Read the folder's configuration file. Raises InvalidInput, InvalidResource."""
    there = [name for name in CONFIG_FILES if (folder / name).is_file()]
    if not there:
        raise InvalidInput(
            "build",
            str(folder),
            f"it has none of {', '.join(CONFIG_FILES)}",
            "`littoral init` makes a project",
        )
    name, *unread = there
    warnings = [Finding(other, None, f"{name} is there too; only that is read") for other in unread]
    text = read_text(folder, name)
    if name == LITTORAL_FILE:
        return _from_documents(folder, text, environment, warnings)
    document = read_toml(text) if name.endswith(".toml") else read_jsonc(text)
    translation = Translation(name, document, today)
    translated = translation.translate(environment)
    if translated is None:
        raise refuse(str(folder), translation.findings)
    return Project(
        folder=folder,
        config=name,
        app=translated.app,
        root=folder,
        base=translated.base,
        main_line=_line(document, environment, "main"),
        defaults=translated.defaults,
        document=document,
        origins=translated.origins,
        warnings=warnings + translation.warnings,
    )


def read_text(folder: Path, name: str) -> str:
    """A text file of a project. Raises InvalidInput."""
    path = folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput("read", str(path), error.strerror or str(error)) from error
    if len(data) > RESOURCE_FILE_BYTES.default:
        cause = f"it has {len(data)} bytes; at most {RESOURCE_FILE_BYTES.default} are read ({RESOURCE_FILE_BYTES.name})"
        raise InvalidInput("read", str(path), cause)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("read", str(path), "it is not UTF-8 text", "Save it as UTF-8") from error


def _line(document: Document, environment: str | None, key: str) -> int | None:
    own: FieldPath = ("env", environment or "", key)
    return document.line(own if own in document.lines else (key,))


def _from_documents(folder: Path, text: str, environment: str | None, warnings: list[Finding]) -> Project:
    resources, problems = inspect_resources(text)
    findings = [
        Finding(LITTORAL_FILE, each.line, f"{path_text(each.path)}: {each.cause}" if each.path else each.cause)
        for each in problems
    ]
    apps = [each for each in resources if isinstance(each, App)]
    if not findings:
        findings = list(_unfit(resources, apps, environment))
    if findings:
        raise refuse(str(folder), findings)
    app = apps[0]
    document = _document(text)
    root = folder / app.spec.source
    if not root.is_dir():
        raise refuse(str(folder), [Finding(LITTORAL_FILE, None, f"spec.source: there is no folder {app.spec.source}")])
    return Project(
        folder=folder,
        config=LITTORAL_FILE,
        app=app,
        root=root,
        base="",
        main_line=document.line(("spec", "main")),
        document=document,
        others=[each for each in resources if not isinstance(each, Node) and each is not app],
        warnings=warnings,
    )


def _unfit(resources: Sequence[Resource], apps: Sequence[App], environment: str | None) -> list[Finding]:
    """What makes valid documents no project."""
    if environment is not None:
        return [Finding(LITTORAL_FILE, None, "it has no environments", "Remove --env, or keep a file per environment")]
    if any(isinstance(each, Node) for each in resources):
        return [Finding(LITTORAL_FILE, None, "a Node is no part of a project", "Keep it in a file of its own")]
    if len(apps) != 1:
        return [Finding(LITTORAL_FILE, None, f"found {len(apps)} App documents; a project is exactly one")]
    return []


def _document(text: str) -> Document:
    """That of the app, which is there."""
    return next(e for e in read_documents(text) if isinstance(e.value, dict) and e.value.get("kind") == "App")
