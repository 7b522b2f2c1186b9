"""What a gateway process needs to know. The hub writes it to run/gateway.msgpack, so that a gateway that starts while
the hub is down serves what it can."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from littoral.core.resources.model import RouteMatch
from littoral.functions.client import FunctionTarget
from littoral.gateway.routes import Route
from littoral.node.layout import write_file

FILE = "gateway.msgpack"


class GatewayConfig(msgspec.Struct, frozen=True):
    """Routes, apps and limits."""

    routes: list[Route] = []
    functions: list[FunctionTarget] = []
    limits: dict[str, int] = {}
    """The node's values over the defaults."""


def app_routes(app: str, matches: Iterable[RouteMatch]) -> list[Route]:
    """An app's routes as its document has them."""
    return [Route(app, match.path, match.host, list(match.methods)) for match in matches]


def write_config(run_dir: Path, config: GatewayConfig) -> None:
    """Replace the file. Raises StorageError."""
    write_file(run_dir / FILE, msgspec.msgpack.encode(config))


def read_config(run_dir: Path) -> GatewayConfig | None:
    """The file's content; None if there is none yet, or if a former version wrote it."""
    try:
        return msgspec.msgpack.decode((run_dir / FILE).read_bytes(), type=GatewayConfig)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
