"""What a gateway process needs to know. The hub writes it to run/gateway.msgpack, so that a gateway that starts while
the hub is down serves what it can."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from littoral.core.resources.model import RouteMatch
from littoral.drivers.disk import storage_error
from littoral.functions.client import FunctionTarget
from littoral.gateway.routes import Route

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
    """Replace the file in one step. It is written anew whenever the hub starts, so it need not survive a power cut.
    Raises StorageError."""
    aside = run_dir / f"{FILE}~"
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.msgpack.encode(config))
        os.rename(aside, run_dir / FILE)
    except OSError as error:
        raise storage_error("write", str(run_dir / FILE), error) from error


def read_config(run_dir: Path) -> GatewayConfig | None:
    """The file's content; None if there is none yet, or if a former version wrote it."""
    try:
        return msgspec.msgpack.decode((run_dir / FILE).read_bytes(), type=GatewayConfig)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
