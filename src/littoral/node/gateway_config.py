"""What a gateway process needs to know. The hub writes it to run/gateway.msgpack, so that a gateway that starts while
the hub is down serves what it can."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from littoral.core.resources.access_log import AccessLog
from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import OriginSpec, RouteSpec
from littoral.functions.calls.client import FunctionTarget
from littoral.gateway.routes import Route
from littoral.node.layout import write_file

FILE = "gateway.msgpack"


class IdentityFiles(msgspec.Struct, frozen=True):
    """Paths of the PEM files of the node's identity."""

    ca: str
    certificate: str
    key: str


class ParentRelay(msgspec.Struct, frozen=True):
    """Where the gateways of the parent node are asked."""

    node: str
    """The parent's name."""
    host: str
    port: int


class GatewayConfig(msgspec.Struct, frozen=True):
    """Routes, apps and limits."""

    routes: list[Route] = []
    functions: list[FunctionTarget] = []
    limits: dict[str, int] = {}
    """The node's values over the defaults."""
    web: dict[str, RouteSpec] = {}
    """Routes that documents of their own describe, by name."""
    origins: dict[str, OriginSpec] = {}
    """Those that the routes lead to."""
    region: str = ""
    """The node's label of that name: targets there are used before others."""
    access_log: AccessLog | None = None
    """As the node's document has it."""
    affinity_key: bytes = b""
    """Secret, with which the marks are made that bring clients back to their targets: the same in all gateways of the node."""
    country_header: str = ""
    """In which the proxy before the gateways says where its client is; empty for none."""
    geo_databases: list[str] = []
    """Paths of the files in which is looked up where clients are."""
    node: str = ""
    """The node's name."""
    identity: IdentityFiles | None = None
    """What the gateways show to those of other nodes."""
    parent: ParentRelay | None = None
    """Who is asked before an origin; None for nobody."""
    children: dict[str, bytes] = {}
    """Who may ask at the relay: the digests of their keys (littoral.node.relay_children), by name."""


def app_routes(app: str, matches: Iterable[RouteMatch]) -> list[Route]:
    """An app's routes as its document has them."""
    return _routes(f"app/{app}", matches)


def route_matches(name: str, matches: Iterable[RouteMatch]) -> list[Route]:
    """What leads to a route that has a document of its own."""
    return _routes(f"route/{name}", matches)


def _routes(to: str, matches: Iterable[RouteMatch]) -> list[Route]:
    return [Route(to, match.path, match.host, list(match.methods)) for match in matches]


def write_config(run_dir: Path, config: GatewayConfig) -> None:
    """Replace the file. Raises StorageError."""
    write_file(run_dir / FILE, msgspec.msgpack.encode(config))


def read_config(run_dir: Path) -> GatewayConfig | None:
    """The file's content; None if there is none yet, or if a former version wrote it."""
    try:
        return msgspec.msgpack.decode((run_dir / FILE).read_bytes(), type=GatewayConfig)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
