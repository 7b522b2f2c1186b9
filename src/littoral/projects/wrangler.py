"""wrangler's configuration file (wrangler.json, wrangler.jsonc, wrangler.toml) as the App document that does the same."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache

import msgspec
from msgspec import Struct, inspect

from littoral.core.resources import API_VERSION, App, Namespace
from littoral.core.resources.checks import checks
from littoral.core.resources.part import Metadata
from littoral.core.resources.problem import Path, path_text, suggestion
from littoral.core.resources.shape import found, mistakes
from littoral.core.resources.syntax import Document, Value
from littoral.projects.finding import Finding
from littoral.projects.wrangler_assets import AssetsSection, asset_fields
from littoral.projects.wrangler_events import NESTED, Ai, Dataset, Queues, Service, Triggers, event_fields
from littoral.projects.wrangler_keys import KNOWN, OWN, REFUSED, UNDERSTOOD, WITHOUT_EFFECT

_PLAIN_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_PATTERN = re.compile(r"(?:https?://)?(?P<host>[^/]*)(?P<path>/.*)?")


class KvNamespace(Struct, frozen=True):
    """An entry of kv_namespaces."""

    binding: str
    id: str | None = None
    preview_id: str | None = None
    remote: bool = False


class RouteEntry(Struct, frozen=True):
    """A route with its zone. Littoral has no zones; what matters is the pattern."""

    pattern: str
    zone_id: str | None = None
    zone_name: str | None = None
    custom_domain: bool = False
    enabled: bool = True
    previews_enabled: bool = False


class LimitsSection(Struct, frozen=True):
    """The key `limits`."""

    cpu_ms: int | None = None


class Section(Struct, frozen=True):
    """What is understood of a file's top, or of one environment with what it inherits. `vars` may hold anything."""

    name: str
    main: str
    compatibility_date: str
    base_dir: str | None = None
    routes: list[str | RouteEntry] = []
    route: str | RouteEntry | None = None
    kv_namespaces: list[KvNamespace] = []
    triggers: Triggers = Triggers()
    queues: Queues = Queues()
    services: list[Service] = []
    analytics_engine_datasets: list[Dataset] = []
    ai: Ai | None = None
    assets: AssetsSection | None = None
    limits: LimitsSection = LimitsSection()


_ENTRIES: dict[str, type[Struct]] = {
    "kv_namespaces": KvNamespace,
    "routes": RouteEntry,
    "route": RouteEntry,
    "triggers": Triggers,
    "queues": Queues,
    "services": Service,
    "analytics_engine_datasets": Dataset,
    "ai": Ai,
    "assets": AssetsSection,
    "limits": LimitsSection,
}
"""What the entries of these keys are, or the only one."""


class Translated(Struct, frozen=True):
    """What a file says, in documents of ours."""

    app: App
    base: str
    """The folder with the app's modules, relative to the file's; "" for the file's own."""
    defaults: list[Namespace]
    """Namespaces that the app binds. At Cloudflare they are there already; here they are made where they are not."""
    origins: Mapping[Path, Path]
    """Which parts of the file parts of the document come from."""


class Translation:
    """Of one file. `findings` are mistakes; `warnings` keep nobody from building."""

    def __init__(self, file: str, document: Document, today: date) -> None:
        """file: as it is called in what is said of it. today: a later compatibility date is a mistake."""
        self._file = file
        self._document = document
        self._today = today
        self.findings = [self._finding(each.path, each.cause, line=each.line) for each in document.problems]
        self.warnings: list[Finding] = []

    def translate(self, environment: str | None) -> Translated | None:
        """What the file says, for one of its environments or for none; None where there are findings."""
        if self.findings:
            return None
        top = self._document.value
        if not isinstance(top, dict):
            self._wrong((), f"found {found(top)}; expected an object with name, main and compatibility_date")
            return None
        chosen = self._chosen(top, environment)
        if chosen is None:
            return None
        section, places = chosen
        self._look_over(section, places)
        values = {name: value for name, value in section.items() if name in UNDERSTOOD - {"env", "vars"}}
        self._prune(values, places)
        for path, cause in list(mistakes(values, _section_type())):
            self._wrong(self._origin(path, places), cause)
        if self.findings:
            return None
        return self._app(msgspec.convert(values, Section), section.get("vars"), places)

    # What is said of what

    def _finding(self, path: Path, cause: str, remedy: str = "", *, line: int | None = None) -> Finding:
        where = f"{path_text(path)}: " if path else ""
        return Finding(self._file, line or self._document.line(path), where + cause, remedy)

    def _wrong(self, path: Path, cause: str, remedy: str = "") -> None:
        self.findings.append(self._finding(path, cause, remedy))

    def _warn(self, path: Path, cause: str, remedy: str = "") -> None:
        self.warnings.append(self._finding(path, cause, remedy))

    @staticmethod
    def _origin(path: Path, places: Mapping[str, Path]) -> Path:
        """Where in the file a member of the section comes from."""
        if path and path[0] in places:
            return (*places[str(path[0])], *path[1:])
        return path

    # Environments

    def _chosen(
        self, top: dict[str, Value], environment: str | None
    ) -> tuple[dict[str, Value], dict[str, Path]] | None:
        """The keys that hold, and where each comes from."""
        places: dict[str, Path] = {name: (name,) for name in top}
        environments = top.get("env", {})
        if not isinstance(environments, dict):
            self._wrong(("env",), f"found {found(environments)}; expected an object with an environment per name")
            return None
        if environment is None:
            return top, places
        own = environments.get(environment)
        if not isinstance(own, dict):
            there = ", ".join(environments) or "none"
            self._wrong(
                ("env",),
                f'there is no environment "{environment}".{suggestion(environment, environments)} There are: {there}',
            )
            return None
        section = {name: value for name, value in top.items() if name not in OWN} | own
        if "route" in own or "routes" in own:
            # They are one thing by two names: what an environment says of it replaces all of the top's.
            section = {name: value for name, value in section.items() if name not in {"route", "routes"} or name in own}
        if "name" not in own and isinstance(top.get("name"), str):
            section["name"] = f"{top['name']}-{environment}"
        for name in sorted(OWN & top.keys() - own.keys()):
            cause = f'environment "{environment}" does not inherit it'
            self._warn((name,), cause, f"Repeat it in env.{environment} if it is to have it")
        return section, places | {name: ("env", environment, name) for name in own}

    # Keys

    def _look_over(self, section: Mapping[str, Value], places: Mapping[str, Path]) -> None:
        """What is not known, has no effect, or cannot be had."""
        for name, value in section.items():
            path = places[name]
            if name not in KNOWN:
                self._warn(path, f"this key is not known, and not heeded.{suggestion(name, KNOWN)}")
            elif _says_nothing(value):
                continue
            elif name in REFUSED:
                bindings = ", ".join(f"env.{binding}" for binding in _bindings(value))
                cause = f"it {REFUSED[name].what}{f' ({bindings})' if bindings else ''}, which Littoral does not have"
                self._wrong(path, cause, REFUSED[name].remedy)
            elif name in WITHOUT_EFFECT:
                self._warn(path, f"it has no effect: {WITHOUT_EFFECT[name]}")

    def _prune(self, values: dict[str, Value], places: Mapping[str, Path]) -> None:
        """Leave unknown members of entries out: a newer wrangler knows more than this."""
        for name, kind in _ENTRIES.items():
            entries = values.get(name)
            if isinstance(entries, list):
                values[name] = [self._known(entry, kind, (*places[name], i)) for i, entry in enumerate(entries)]
            elif entries is not None:
                values[name] = self._known(entries, kind, places[name])

    def _known(self, entry: Value, kind: type[Struct], path: Path) -> Value:
        if not isinstance(entry, dict):
            return entry
        fields = kind.__struct_fields__
        for name in entry:
            if name not in fields:
                self._warn((*path, name), f"this key is not known, and not heeded.{suggestion(name, fields)}")
        kept = {name: value for name, value in entry.items() if name in fields}
        for name, nested in NESTED.get(kind, {}).items():
            entries = kept.get(name)
            if isinstance(entries, list):
                kept[name] = [self._known(each, nested, (*path, name, index)) for index, each in enumerate(entries)]
        return kept

    # The document

    def _app(self, section: Section, variables: Value, places: Mapping[str, Path]) -> Translated | None:
        self._check_date(section.compatibility_date, places)
        if section.ai is not None and section.ai.remote:
            self._warn(
                (*places["ai"], "remote"), "it has no effect: models are files of the app, and run where it runs"
            )
        main = posixpath.normpath(section.main)
        if posixpath.isabs(main) or main.startswith(".."):
            self._wrong(places["main"], f'found "{section.main}"; expected a file in this folder or below it')
        elif not main.endswith(".py"):
            self._wrong(
                places["main"], f'found "{section.main}"; Littoral runs Python: expected a file that ends in .py'
            )
        base = posixpath.normpath(section.base_dir) if section.base_dir else posixpath.dirname(main)
        base = "" if base == "." else base
        if base and not main.startswith(f"{base}/"):
            self._wrong(places["base_dir"], f'found "{section.base_dir}"; {main} is not in it')
        origins: dict[Path, Path] = {
            ("metadata", "name"): places["name"],
            ("spec", "main"): places["main"],
            ("spec", "vars"): places.get("vars", ()),
        }
        if section.limits.cpu_ms is not None:
            origins["spec", "limits", "cpuTimeMs"] = (*places["limits"], "cpu_ms")
        spec: dict[str, Value] = {
            "main": main,
            "routes": list(self._routes(section, places, origins)),
            "kv": list(self._kv(section, places, origins)),
            "vars": variables if variables is not None else {},
            **event_fields(section, places, origins),
            **asset_fields(section.assets, places, origins),
            "limits": {} if section.limits.cpu_ms is None else {"cpuTimeMs": section.limits.cpu_ms},
        }
        value: Value = {"apiVersion": API_VERSION, "kind": "App", "metadata": {"name": section.name}, "spec": spec}
        self._check_document(value, origins)
        if self.findings:
            return None
        app = msgspec.convert(value, App)
        names = sorted({binding.namespace for binding in app.spec.kv})
        namespaces = [Namespace(api_version="littoral/v1", metadata=Metadata(name=name)) for name in names]
        return Translated(app, base, namespaces, origins)

    def _check_date(self, text: str, places: Mapping[str, Path]) -> None:
        path = places["compatibility_date"]
        try:
            given = date.fromisoformat(text) if _DATE.fullmatch(text) else None
        except ValueError:
            given = None
        if given is None:
            self._wrong(path, f"found {found(text)}; expected a date", f'Say the day it was tried: "{self._today}"')
        elif given > self._today:
            cause = f"{text} is in the future; nobody knows what a worker does then"
            self._wrong(path, cause, f'Say the day it was tried: "{self._today}" at the latest')

    def _check_document(self, value: Value, origins: Mapping[Path, Path]) -> None:
        """What the App document does not allow, said where it comes from."""
        wrong = list(mistakes(value, _app_type()))
        if not wrong and not self.findings:
            wrong = list(checks(msgspec.convert(value, App)))
        for path, cause in wrong:
            self._wrong(origin_of(path, origins), cause)

    def _routes(
        self, section: Section, places: Mapping[str, Path], origins: dict[Path, Path]
    ) -> Iterator[dict[str, Value]]:
        """The patterns as requests that an app answers. Without any, it answers what nobody else does."""
        entries = [((*places["routes"], i), entry) for i, entry in enumerate(section.routes)] if section.routes else []
        if section.route is not None:
            entries.append((places["route"], section.route))
        for index, (path, entry) in enumerate(entries):
            origins["spec", "routes", index] = path
            yield self._match(entry, path)
        if not entries:
            yield {"path": "/*"}

    def _match(self, entry: str | RouteEntry, path: Path) -> dict[str, Value]:
        pattern = entry if isinstance(entry, str) else entry.pattern
        match = _PATTERN.fullmatch(pattern)
        if match is None or not match["host"]:
            self._wrong(path, f'found "{pattern}"; expected HOST/PATH', 'Say "shop.example/*"')
            return {}
        host = match["host"]
        if host != "*" and "*" in host:
            cause = f'found "{pattern}"; a route has one host, and no "*" in it'
            self._wrong(path, cause, 'Name each host in a route of its own, or write "*/PATH" for any host')
            return {}
        all_of_it = not isinstance(entry, str) and entry.custom_domain
        request: dict[str, Value] = {"path": match["path"] or ("/*" if all_of_it else "/")}
        return request if host == "*" else request | {"host": host}

    def _kv(
        self, section: Section, places: Mapping[str, Path], origins: dict[Path, Path]
    ) -> Iterator[dict[str, Value]]:
        for index, entry in enumerate(section.kv_namespaces):
            path = (*places["kv_namespaces"], index)
            origins["spec", "kv", index] = path
            namespace = entry.id or ""
            if not _PLAIN_NAME.fullmatch(namespace):
                namespace = _namespace_name(section.name, entry.binding)
                said = f'the id "{entry.id}" is no name' if entry.id else "it has no id"
                self._warn(path, f'{said}; env.{entry.binding} gets the namespace "{namespace}"')
            yield {"binding": entry.binding, "namespace": namespace, "remote": entry.remote}


def origin_of(path: Path, origins: Mapping[Path, Path]) -> Path:
    """Which part of a file a part of the document comes from."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return (*origins[path[:length]], *path[length:])
    return path


def _namespace_name(app: str, binding: str) -> str:
    """A name for what an app binds, as good for the next app of that name."""
    return re.sub(r"[^a-z0-9]+", "-", f"{app}-{binding}".lower()).strip("-")[:63].strip("-")


def _says_nothing(value: Value) -> bool:
    """Whether it is empty, all the way down."""
    if isinstance(value, dict):
        return all(_says_nothing(member) for member in value.values())
    if isinstance(value, list):
        return all(_says_nothing(element) for element in value)
    return value is None


def _bindings(value: Value) -> Iterator[str]:
    """The names that code would use, as far as the entries say them."""
    if isinstance(value, list):
        for element in value:
            yield from _bindings(element)
    elif isinstance(value, dict):
        name = value.get("binding", value.get("name") if "class_name" in value else None)
        if isinstance(name, str):
            yield name
        else:
            for member in value.values():
                yield from _bindings(member)


@cache
def _section_type() -> inspect.Type:
    return inspect.type_info(Section)


@cache
def _app_type() -> inspect.Type:
    return inspect.type_info(App)
